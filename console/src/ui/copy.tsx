// A button that copies a text.
import { useState } from "preact/hooks";
import { IconButton } from "./button";
import { toastError } from "./toast";

export function CopyButton({ text, label = "Copy" }: { text: string | (() => string); label?: string }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(typeof text === "string" ? text : text());
      setDone(true);
      setTimeout(() => setDone(false), 1500);
    } catch {
      toastError("The browser does not let this page copy. Select the text, and copy it by hand.");
    }
  };
  return <IconButton icon={done ? "check" : "copy"} label={done ? "Copied" : label} small onClick={copy} />;
}
