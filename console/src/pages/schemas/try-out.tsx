// A document against a schema, rules or settings that are not stored yet: Validate says what it would find. Nothing is written.
import { useEffect, useMemo, useState } from "preact/hooks";
import { scopesOf } from "../../api/catalog";
import { post, type Schemas } from "../../api/client";
import { isAbort } from "../../api/problem";
import { Button } from "../../ui/button";
import { TextField } from "../../ui/field";
import { Note } from "../../ui/states";
import { toastError } from "../../ui/toast";
import { Findings } from "../parts/differences";
import { readDocument } from "../parts/document";
import { pretty } from "../parts/json";
import { Refusal } from "../parts/refusal";
import { CodeField } from "./code-field";
import { markOf } from "./findings";
import { proposal, syntaxError, type Governing } from "./governing";

const DELAY_MS = 350;
const NONE: readonly Schemas["Finding"][] = [];

interface Props {
  namespace: string;
  of: Governing;
  /** The proposed text, and whether it differs from what is stored. */
  text: string;
  isChanged: boolean;
  /** Told the findings about the proposed text itself. */
  onFindings: (findings: readonly Schemas["Finding"][]) => void;
}

export function TryOut({ namespace, of, text, isChanged, onFindings }: Props) {
  const [config, setConfig] = useState(of.config);
  const [scope, setScope] = useState("/");
  const [document, setDocument] = useState("{}");
  const [answer, setAnswer] = useState<{ report: Schemas["ValidationReport"] | undefined; error?: unknown }>();
  const [busy, setBusy] = useState(false);
  const broken = syntaxError(text) === undefined ? undefined : "The text on the left is no JSON yet.";
  const brokenDocument = syntaxError(document);

  useEffect(() => {
    if (broken !== undefined || brokenDocument !== undefined || (config === "" && !isChanged)) {
      setAnswer(undefined);
      return undefined;
    }
    const abort = new AbortController();
    const check = async () => {
      setBusy(true);
      const changes: Schemas["Change"][] = [
        ...(isChanged ? [proposal(namespace, of, text)] : []),
        ...(config === "" ? [] : [{ namespace, config, scope, replace: { content: document, format: "FORMAT_JSON" as const } }]),
      ];
      try {
        const { report } = await post("/v1/layers:validate", { body: { changes }, signal: abort.signal, maskSecrets: true });
        if (!abort.signal.aborted) setAnswer({ report });
      } catch (error) {
        if (!isAbort(error)) setAnswer({ report: undefined, error });
      }
      if (!abort.signal.aborted) setBusy(false);
    };
    const timer = setTimeout(check, DELAY_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [namespace, of.name, text, isChanged, config, scope, document]);

  const load = async () => {
    try {
      const layer = await readDocument({ namespace, config, scope, view: "VIEW_LAYER" });
      setDocument(pretty(layer?.content ?? "{}"));
    } catch (error) {
      toastError(error);
    }
  };

  const findings = answer?.report?.findings ?? NONE;
  const isOwn = (finding: Schemas["Finding"]) => finding.config === of.name;
  const isTried = (finding: Schemas["Finding"]) => finding.config === config && finding.scope === scope;
  const marks = useMemo(() => findings.filter((finding) => !isOwn(finding) && isTried(finding)).map(markOf), [findings]);
  useEffect(() => onFindings(findings.filter(isOwn)), [findings]);
  const groups: [string, Schemas["Finding"][]][] = [
    [`About ${of.name} itself`, findings.filter(isOwn)],
    ["About this document", findings.filter((finding) => !isOwn(finding) && isTried(finding))],
    ["About documents that are stored", findings.filter((finding) => !isOwn(finding) && !isTried(finding))],
  ];
  return (
    <section class="panel" aria-label="Try-out">
      <header>
        <h2 class="grow">Try a document</h2>
        <Button small icon="download" disabled={config === ""} onClick={load}>Load the stored layer</Button>
      </header>
      <div class="body stack">
        <p class="soft">
          The document takes the place of the layer at a scope, and is checked with what it inherits, against {isChanged ? "the text on the left, before it is stored" : "what is stored"}.
          Nothing is written.
        </p>
        <div class="columns-2">
          {of.config === "" && <TextField label="Config" value={config} onValue={setConfig} required />}
          <TextField label="Scope" value={scope} onValue={(value) => setScope(value || "/")} list="try-out-scopes" />
          <datalist id="try-out-scopes">{scopesOf(namespace).slice(0, 200).map((one) => <option key={one} value={one} />)}</datalist>
        </div>
        <CodeField label="Document" error={brokenDocument} value={document} onValue={setDocument} marks={marks} />
        <div role="status" aria-label="Outcome" class="stack">
          {broken !== undefined && <Note tone="warn">{broken}</Note>}
          {config === "" && <Note>Name a config to try a document of it.</Note>}
          {answer?.error !== undefined && <Refusal error={answer.error} />}
          {answer?.report !== undefined && (
            answer.report.valid
              ? <Note tone="good">{findings.length === 0 ? "Valid." : "Valid, with remarks."}{busy ? " Checking…" : ""}</Note>
              : <Note tone="bad">Not valid: a write would be refused.{busy ? " Checking…" : ""}</Note>
          )}
          {groups.map(([title, found]) => found.length > 0 && (
            <div key={title} class="stack">
              <h3>{title}</h3>
              <Findings findings={found} />
            </div>
          ))}
          {(answer?.report?.omitted ?? 0) > 0 && <p class="soft">{answer?.report?.omitted} more findings are not shown.</p>}
        </div>
      </div>
    </section>
  );
}
