/** Asks the server about the text while it is typed. The newest text wins: answers about older ones are dropped. */
import { useEffect, useState } from "preact/hooks";
import { post, type Schemas } from "../api/client";
import { isAbort } from "../api/problem";
import type { Fix } from "./fixes";
import type { Target } from "./layer";
import type { Format, Range } from "./tree";

/** Something to correct, with its place in the text where it has one. */
export interface Problem {
  severity: "error" | "warning" | "info";
  code: string;
  message: string;
  suggestion: string;
  scope: string;
  pointer: string;
  range: Range | undefined;
  fix?: Fix | undefined;
}

export interface Validation {
  state: "idle" | "checking" | "checked";
  findings: readonly Schemas["Finding"][];
  omitted: number;
  error: unknown;
}

const PAUSE_MS = 300;
const LARGE = 200_000;
const PAUSE_LARGE_MS = 1_000;
const NOTHING: Validation = { state: "idle", findings: [], omitted: 0, error: undefined };

export function useValidation(target: Target, text: string, format: Format, isOn: boolean): Validation {
  const [state, setState] = useState<Validation>(NOTHING);
  useEffect(() => {
    if (!isOn) {
      setState(NOTHING);
      return;
    }
    const controller = new AbortController();
    setState((before) => ({ ...before, state: "checking" }));
    const timer = setTimeout(
      () => {
        const { namespace, config, scope, kind } = target;
        post("/v1/layers:validate", { body: { changes: [{ namespace, config, scope, kind, replace: { content: text, format } }] }, signal: controller.signal, maskSecrets: true }).then(
          // Whether a reason is given is asked for when the change is saved.
          ({ report }) => setState({ state: "checked", findings: (report?.findings ?? []).filter(({ code }) => code !== "REASON_REQUIRED"), omitted: report?.omitted ?? 0, error: undefined }),
          (error: unknown) => isAbort(error) || setState({ ...NOTHING, error }),
        );
      },
      text.length > LARGE ? PAUSE_LARGE_MS : PAUSE_MS,
    );
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [JSON.stringify(target), text, format, isOn]);
  return state;
}
