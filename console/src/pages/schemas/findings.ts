// Findings as marks in a text. Knows findings; never an editor.
import type { Schemas } from "../../api/client";
import type { Mark } from "./code_pane";

export function markOf(finding: Schemas["Finding"]): Mark {
  const severity = finding.severity === "SEVERITY_ERROR" ? "error" : finding.severity === "SEVERITY_WARNING" ? "warning" : "info";
  return { pointer: finding.pointer, severity, message: finding.suggestion === "" ? finding.message : `${finding.message}\n${finding.suggestion}` };
}
