// Starts the console.
import { render } from "preact";
import { Shell } from "./layout/shell";
import { startTheme } from "./layout/theme";
import { startRouter } from "./router";
import "./styles/index.css";

startTheme();
startRouter();
render(<Shell />, document.getElementById("app")!);
