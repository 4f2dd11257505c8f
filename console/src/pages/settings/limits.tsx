// Quotas and retention of namespaces, as a form over the configs `quotas` and `retention` of the namespace `confwatch`. Knows their form; administrators
// alone read and write them.
import { useEffect, useState } from "preact/hooks";
import { namespaces } from "../../api/catalog";
import { post, type Schemas } from "../../api/client";
import { revisionOf } from "../../api/live";
import { configHref } from "../../router";
import { Button } from "../../ui/button";
import { TextField } from "../../ui/field";
import { useQuery } from "../../ui/query";
import { ErrorNote, Skeleton } from "../../ui/states";
import { parseJson } from "../../editor/json_text";
import { readDocument } from "../parts/document";
import { changesOf, pretty } from "../parts/json";
import { PreviewedWrite, type Outlook } from "../parts/preview";

interface Limit {
  name: string;
  label: string;
  hint: string;
}

export interface LimitsKind {
  config: "quotas" | "retention";
  title: string;
  about: string;
  limits: readonly Limit[];
}

export const QUOTAS: LimitsKind = {
  config: "quotas",
  title: "Quotas",
  about: "How much a namespace may have. What makes a namespace larger than its quota is refused; what makes it smaller is not.",
  limits: [
    { name: "configs", label: "Configs", hint: "With schemas, rules and settings." },
    { name: "bytes", label: "Bytes of layers", hint: "As they are stored now, without history." },
    { name: "watchers", label: "Watched configs", hint: "Each as often as it is followed." },
    { name: "journal_bytes", label: "Bytes of history", hint: "What the journal keeps." },
    { name: "journal_bytes_per_minute", label: "Bytes of history a minute", hint: "On average; four times as much at once." },
  ],
};

export const RETENTION: LimitsKind = {
  config: "retention",
  title: "Retention",
  about: "How much history a namespace keeps. Tagged versions stay. After a change nothing is removed for an hour, so that a mistake can be taken back.",
  limits: [
    { name: "age_max_days", label: "Days", hint: "Older history is removed." },
    { name: "bytes_max", label: "Bytes", hint: "More history is removed, the oldest first." },
    { name: "versions_min", label: "Versions that stay", hint: "The newest of each config, whatever the other limits say." },
  ],
};

type Values = Record<string, number>;
interface Document {
  default?: Values;
  namespaces?: Record<string, Values>;
}

interface Stored {
  document: Document;
  content: string;
  version: number;
}

async function readLimits(config: string, signal: AbortSignal): Promise<Stored> {
  const document = await readDocument({ namespace: "confwatch", config }, signal);
  const content = document?.content ?? "{}";
  return { document: JSON.parse(content) as Document, content, version: document?.layers[0]?.version ?? 0 };
}

export function Limits({ kind }: { kind: LimitsKind }) {
  const answer = useQuery(`limits ${kind.config}`, (signal) => readLimits(kind.config, signal), revisionOf("confwatch", kind.config).value);
  const [namespace, setNamespace] = useState("");
  const [texts, setTexts] = useState<Record<string, string>>({});
  const [writing, setWriting] = useState<Document>();
  const stored = answer.data;
  const name = namespace.trim();
  const values = stored === undefined ? undefined : name === "" ? stored.document.default : stored.document.namespaces?.[name];
  const before = JSON.stringify(values ?? {});
  useEffect(() => setTexts(Object.fromEntries(Object.entries(values ?? {}).map(([limit, value]) => [limit, String(value)]))), [before, name]);
  const errors = Object.fromEntries(kind.limits.map(({ name }) => [name, /^\d{0,15}$/.test(texts[name]?.trim() ?? "") ? undefined : "A whole number, or nothing"]));
  const submit = (event: Event) => {
    event.preventDefault();
    if (stored === undefined || Object.values(errors).some((error) => error !== undefined)) return;
    const next = Object.fromEntries(kind.limits.flatMap(({ name }) => (texts[name]?.trim() ? [[name, Number(texts[name])]] : [])));
    const others = Object.fromEntries(Object.entries(values ?? {}).filter(([limit]) => !kind.limits.some((known) => known.name === limit)));
    setWriting(withValues(stored.document, name, { ...others, ...next }));
  };
  const own = Object.keys(stored?.document.namespaces ?? {});
  return (
    <section class="panel" aria-label={kind.title}>
      <header>
        <h2 class="grow">{kind.title}</h2>
        <a href={configHref("confwatch", kind.config)}>Edit as text</a>
      </header>
      <div class="body stack">
        <p class="soft">{kind.about} 0 is no limit. An empty field takes the limit of {name === "" ? "the server" : "all namespaces"}.</p>
        {answer.error !== undefined && <ErrorNote error={answer.error} retry={answer.reload} />}
        {stored === undefined && answer.error === undefined && <Skeleton lines={4} />}
        {stored !== undefined && (
          <form class="stack" onSubmit={submit}>
            <div class="fields">
              <TextField label="Namespace" placeholder="all namespaces" list={`namespaces-${kind.config}`} value={namespace} onValue={setNamespace} />
              <datalist id={`namespaces-${kind.config}`}>{[...new Set([...own, ...namespaces.value.map(({ name }) => name)])].slice(0, 500).map((one) => <option key={one} value={one} />)}</datalist>
              {kind.limits.map((limit) => (
                <TextField
                  key={limit.name}
                  label={limit.label}
                  hint={limit.hint}
                  error={errors[limit.name]}
                  inputMode="numeric"
                  value={texts[limit.name] ?? ""}
                  onValue={(text) => setTexts({ ...texts, [limit.name]: text })}
                />
              ))}
            </div>
            <div class="row wrap between">
              <span class="soft small">{own.length === 0 ? "No namespace has limits of its own." : `With limits of their own: ${own.join(", ")}`}</span>
              <Button type="submit" kind="primary">Review and store</Button>
            </div>
          </form>
        )}
      </div>
      {writing !== undefined && stored !== undefined && (
        <PreviewedWrite
          title={`Store the ${kind.title.toLowerCase()} of ${name === "" ? "all namespaces" : name}`}
          verb="Store"
          preview={(signal) => outlookOf(kind, stored, writing, signal)}
          write={async (_, reason, request_id) => (await send(kind, stored, writing, { reason, request_id })).store_revision}
          onClose={(written) => {
            setWriting(undefined);
            if (written) answer.reload();
          }}
        />
      )}
    </section>
  );
}

/** The document with other limits of a namespace, or with "" of all of them. */
function withValues(document: Document, namespace: string, values: Values): Document {
  if (namespace === "") return { ...document, default: values };
  const { [namespace]: _, ...others } = document.namespaces ?? {};
  return { ...document, namespaces: Object.keys(values).length === 0 ? others : { ...others, [namespace]: values } };
}

function send(kind: LimitsKind, stored: Stored, document: Document, options: Schemas["WriteOptions"], signal?: AbortSignal) {
  const replace = { content: pretty(JSON.stringify(document)), format: "FORMAT_JSON" as const };
  return post("/v1/layers:apply", { body: { changes: [{ namespace: "confwatch", config: kind.config, scope: "/", replace, expected_version: stored.version }], options }, signal });
}

async function outlookOf(kind: LimitsKind, stored: Stored, document: Document, signal: AbortSignal): Promise<Outlook> {
  const answer = await send(kind, stored, document, { reason: "preview", validate_only: true }, signal);
  return {
    changed: answer.changed,
    summary: kind.config === "retention" ? "The findings name the history that would be removed, an hour after the write at the earliest." : "The new quotas hold from the next call on.",
    differences: [{ place: `confwatch/${kind.config}`, changes: changesOf(parseJson(stored.content), parseJson(JSON.stringify(document))) }],
    effective: false,
    scopesOmitted: 0,
    report: answer.report,
    affected: [],
    affectedOmitted: 0,
    reach: undefined,
  };
}
