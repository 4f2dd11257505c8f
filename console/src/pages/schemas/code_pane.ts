// The editor of texts as a module of its own, so that pages read it when they need it first. Knows src/editor; never a page.
import type { Diagnostic } from "@codemirror/lint";
import { createCode, type Code } from "../../editor/code";
import { parse } from "../../editor/json_text";
import { placeOf } from "../../editor/tree";

/** A remark about a place of the text. */
export interface Mark {
  /** RFC 6901, within the text. */
  pointer: string;
  severity: "error" | "warning" | "info";
  message: string;
}

export interface Pane {
  text: () => string;
  replace: (text: string) => void;
  mark: (marks: readonly Mark[]) => void;
  destroy: () => void;
}

/** Makes an editor for JSON within `parent`. What cannot be read is underlined by itself. */
export function createPane(parent: HTMLElement, label: string, text: string, onChange: (text: string) => void, onSave: () => void): Pane {
  const code: Code = createCode(parent, { text, format: "FORMAT_JSON", label, onChange, onSave, complete: () => null, hover: () => undefined });
  return {
    text: () => code.text(),
    replace: (next) => code.replace(next, "FORMAT_JSON"),
    mark: (marks) => {
      const parsed = parse(code.text());
      const syntax: Diagnostic[] = parsed.problems.map(({ from, to, message }) => ({ from, to, severity: "error", message }));
      const found = marks.flatMap(({ pointer, severity, message }): Diagnostic[] => {
        const range = placeOf(parsed, pointer);
        return range === undefined ? [] : [{ ...range, severity, message }];
      });
      code.mark([...syntax, ...found].sort((one, other) => one.from - other.from));
    },
    destroy: () => code.destroy(),
  };
}
