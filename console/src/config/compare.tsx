// Any two documents of the config side by side: scopes, environments, versions, tags, revisions or times. Knows Diff.
import { useMemo, useState } from "preact/hooks";
import { scopesOf } from "../api/catalog";
import { get, post, type Schemas, type ValueChange } from "../api/client";
import { configHref, normalScope, place, setQuery } from "../router";
import { Button } from "../ui/button";
import { pathOf } from "../ui/changes";
import { SearchField, Segmented, SelectField, TextField } from "../ui/field";
import { useQuery } from "../ui/query";
import { Empty, ErrorNote, Note, Skeleton } from "../ui/states";
import { Time } from "../ui/time";
import { VirtualList } from "../ui/virtual";
import { NARROW, useMedia } from "./media";
import { instantOf, localTime, type PointInTime, pointOf, pointText, pointFields, type PointKind } from "./point";
import { parentOf } from "./rows";

interface Props {
  namespace: string;
  config: string;
  scope: string;
}

const LINES_MAX = 5_000;

export function Compare({ namespace, config, scope }: Props) {
  const query = place.value.query;
  const other = query.get("with");
  const older = { namespace: query.get("ns1") || namespace, config: query.get("config1") || config, scope: normalScope(other ?? parentOf(scope) ?? "/"), at: query.get("from") ?? (other === null && scope === "/" ? "previous" : "") };
  const newer = { namespace, config, scope, at: query.get("to") ?? "" };
  const form = query.get("as") === "text" ? "text" : "list";
  const isPrevious = older.at === "previous";
  const key = JSON.stringify([older, newer]);
  const diff = useQuery(key, async (signal) => {
    const before = isPrevious ? await previousOf(newer, signal) : pointFields(pointOf(older.at));
    return post("/v1/documents:diff", {
      body: {
        older: { namespace: older.namespace, config: older.config, scope: older.scope, ...before },
        newer: { namespace, config, scope, ...pointFields(pointOf(newer.at)) },
        context_lines: 4,
      },
      signal,
      maskSecrets: true,
    });
  });
  return (
    <>
      <div class="sides">
        <Side
          title="Older"
          namespace={namespace}
          scope={older.scope}
          at={!isPrevious ? older.at : diff.data?.older ? `v${diff.data.older.version}` : ""}
          document={diff.data?.older}
          onScope={(value) => setQuery({ with: value, from: isPrevious ? undefined : older.at || undefined })}
          onAt={(value) => setQuery({ from: value || undefined, with: older.scope })}
        />
        <Side title="Newer" namespace={namespace} scope={scope} at={newer.at} document={diff.data?.newer} onScope={(value) => setQuery({ scope: value === "/" ? undefined : value, with: older.scope })} onAt={(value) => setQuery({ to: value || undefined })} />
        <Button
          icon="compare"
          onClick={() => setQuery({ with: scope, scope: older.scope === "/" ? undefined : older.scope, from: newer.at || undefined, to: isPrevious ? undefined : older.at || undefined })}
        >
          Swap
        </Button>
      </div>
      {diff.error !== undefined && <ErrorNote error={diff.error} retry={diff.reload} />}
      {!diff.data && diff.error === undefined && <Skeleton lines={6} />}
      {diff.data && <Outcome diff={diff.data} form={form} onForm={(value) => setQuery({ as: value === "text" ? "text" : undefined })} at={{ namespace, config, scope }} />}
    </>
  );
}

/** The version before the newer side, where nothing else was asked for. */
async function previousOf({ namespace, config, at }: { namespace: string; config: string; at: string }, signal: AbortSignal): Promise<Partial<Schemas["GetRequest"]>> {
  const point = pointOf(at);
  if (point.kind === "version") return { version: Math.max(0, Number(point.value) - 1) };
  const { versions } = await get("/v1/namespaces/{namespace}/configs/{config}/versions", { path: { namespace, config }, query: { page_size: 2 }, signal });
  return { version: versions[1]?.version ?? 0 };
}

function Side({ title, namespace, scope, at, document, onScope, onAt }: { title: string; namespace: string; scope: string; at: string; document: Schemas["Document"] | undefined; onScope: (scope: string) => void; onAt: (at: string) => void }) {
  const point = pointOf(at);
  const scopes = [...new Set([...scopesOf(namespace), scope])].sort();
  return (
    <fieldset class="panel side">
      <legend>{title}</legend>
      <SelectField label="Scope" value={scope} onValue={onScope} options={scopes.map((value) => ({ value, label: value === "/" ? "/ (all)" : value }))} />
      <At key={at} point={point} onPoint={(value) => onAt(pointText(value))} />
      <p class="soft small">
        {document ? (
          <>
            version {document.version}, revision {document.revision}, <Time at={document.update_time} />
          </>
        ) : (
          "no document: it counts as an empty one"
        )}
      </p>
    </fieldset>
  );
}

function At({ point, onPoint }: { point: PointInTime; onPoint: (point: PointInTime) => void }) {
  const [kind, setKind] = useState<PointKind>(point.kind);
  const [value, setValue] = useState(point.kind === "time" ? localTime(point.value) : point.value);
  const given = () => ({ kind, value: kind === "time" ? instantOf(value.trim()) : value.trim() });
  const labels: Record<PointKind, string> = { now: "now", version: "Version", revision: "Revision", tag: "Tag", time: "Time" };
  return (
    <form
      class="row at"
      onSubmit={(event) => {
        event.preventDefault();
        if (value.trim()) onPoint(given());
      }}
    >
      <SelectField
        label="As of"
        value={kind}
        onValue={(next) => {
          setKind(next as PointKind);
          setValue("");
          if (next === "now") onPoint({ kind: "now", value: "" });
        }}
        options={(Object.keys(labels) as PointKind[]).map((each) => ({ value: each, label: labels[each].toLowerCase() }))}
      />
      {kind !== "now" && (
        <TextField
          label={labels[kind]}
          value={value}
          onValue={setValue}
          {...(kind === "time" ? { type: "datetime-local", step: 1 } : kind === "tag" ? {} : { inputMode: "numeric" as const, pattern: "[0-9]+" })}
          onBlur={() => value.trim() && given().value !== point.value && onPoint(given())}
        />
      )}
    </form>
  );
}

function Outcome({ diff, form, onForm, at }: { diff: Schemas["DiffResponse"]; form: "list" | "text"; onForm: (form: "list" | "text") => void; at: Props }) {
  const [text, setText] = useState("");
  const rowHeight = useMedia(NARROW) ? 56 : 40;
  const wanted = text.trim().toLowerCase();
  const shown = useMemo(
    () => diff.changes.filter((change) => !wanted || change.pointer.toLowerCase().includes(wanted) || change.old_value.toLowerCase().includes(wanted) || change.new_value.toLowerCase().includes(wanted)),
    [diff, wanted],
  );
  if (!diff.changes.length) {
    return (
      <Empty icon="check" title="No difference">
        <p>Both documents have the same values.</p>
      </Empty>
    );
  }
  return (
    <>
      <div class="row wrap values-bar">
        <Segmented
          label="Form"
          value={form}
          options={[
            { value: "list", label: "Values" },
            { value: "text", label: "Text" },
          ]}
          onValue={onForm}
        />
        {form === "list" && <SearchField label="Search the differences" value={text} onValue={setText} />}
        <span class="soft small nowrap" role="status">
          {diff.changes.length === 1 ? "1 difference" : `${diff.changes.length.toLocaleString("en")} differences`}
        </span>
      </div>
      {form === "text" ? (
        <Unified text={diff.unified} />
      ) : (
        <div class="panel table-like compare" style={{ "--rows": `${shown.length * rowHeight}px` }}>
          <div class="head" aria-hidden="true">
            <span>Key</span>
            <span>Older</span>
            <span>Newer</span>
          </div>
          <VirtualList items={shown} rowHeight={rowHeight} keyOf={(change) => change.pointer} label="Differences" row={(change) => <Change change={change} at={at} />} />
        </div>
      )}
    </>
  );
}

function Change({ change, at }: { change: ValueChange; at: Props }) {
  const side = (text: string) => (text.length > 300 ? `${text.slice(0, 300)}…` : text);
  return (
    <div class="line">
      <a class="key mono truncate" title={change.pointer} href={configHref(at.namespace, at.config, "edit", { pointer: change.pointer })}>
        {pathOf(change.pointer)}
      </a>
      <span class="value mono truncate" title={side(change.old_value)}>
        {change.type === "CHANGE_TYPE_ADDED" ? <span class="faint">not there</span> : <del>{side(change.old_value)}</del>}
      </span>
      <span class="value mono truncate" title={side(change.new_value)}>
        {change.type === "CHANGE_TYPE_REMOVED" ? <span class="faint">not there</span> : <ins>{side(change.new_value)}</ins>}
      </span>
    </div>
  );
}

function Unified({ text }: { text: string }) {
  const lines = text.split("\n");
  return (
    <div class="panel unified scroll-x" tabIndex={0} role="region" aria-label="Unified difference">
      <pre>
        {lines.slice(0, LINES_MAX).map((line, at) => (
          <span key={at} class={line.startsWith("+") ? "added" : line.startsWith("-") ? "removed" : line.startsWith("@@") ? "place" : ""}>
            {line}
            {"\n"}
          </span>
        ))}
      </pre>
      {lines.length > LINES_MAX && <Note>The first {LINES_MAX.toLocaleString("en")} lines are shown.</Note>}
    </div>
  );
}

