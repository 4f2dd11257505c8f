// The values of a config at a scope: inherited, this layer and effective side by side, each with its origin and who changed it last.
import { useMemo, useRef, useState } from "preact/hooks";
import { useEffect } from "preact/hooks";
import { recent, revisionOf } from "../api/live";
import { useShortcut } from "../layout/shortcuts";
import { configHref, place, setQuery } from "../router";
import { ScopeBadge } from "../ui/badge";
import { Button } from "../ui/button";
import { Actor } from "../ui/changes";
import { Check, SearchField } from "../ui/field";
import { useQuery } from "../ui/query";
import { Empty, ErrorNote, Note, Skeleton } from "../ui/states";
import { Time } from "../ui/time";
import type { Plan } from "../editor/review";
import { VirtualList } from "../ui/virtual";
import { Details } from "./details";
import { Overrides } from "./overrides";
import { NARROW, useMedia } from "./media";
import { blame, explain } from "./read";
import { endOf } from "./writes";
import { changedSince, filtered, type LayerKind, type Row, rowsOf, shown, withBlame } from "./rows";

interface Props {
  namespace: string;
  config: string;
  scope: string;
  kind: LayerKind;
  /** Grows when this page has written: what is shown is read again, also without the stream of commits. */
  turn: number;
  /** Opens the review of a write. */
  onWrite: (plan: Plan) => void;
}

/** A table row, and one that is as high as two lines on a narrow page. */
const ROW = 40;
const NARROW_ROW = 64;

export function Values({ namespace, config, scope, kind, turn, onWrite }: Props) {
  const query = place.value.query;
  // What is searched for can be a value, and stays out of the address.
  const [text, setText] = useState("");
  const onlyModified = query.get("modified") === "1";
  const pointer = query.get("pointer") ?? undefined;
  const version = `${revisionOf(namespace, config).value} ${turn}`;
  const key = JSON.stringify([namespace, config, scope]);
  const read = useQuery(key, (signal) => explain({ namespace, config, scope }, signal), version);
  const blamed = useQuery(key, (signal) => blame({ namespace, config, scope }, signal), version);
  const rows = useMemo(() => (read.data ? rowsOf(read.data, { scope, kind }) : []), [read.data, scope, kind]);
  const complete = useMemo(() => (blamed.data ? withBlame(rows, blamed.data) : rows), [rows, blamed.data]);
  const visible = useMemo(() => filtered(complete, { text, onlyModified }), [complete, text, onlyModified]);
  const fresh = useFresh({ namespace, config }, key, rows);
  const isNarrow = useMedia(NARROW);
  const active = pointer === undefined ? -1 : visible.findIndex((row) => row.pointer === pointer);
  const chosen = pointer === undefined ? undefined : complete.find((row) => row.pointer === pointer);
  useShortcut("/", "Find a value on this page", () => document.querySelector<HTMLInputElement>("#value-search")?.focus());

  const choose = (row: Row | undefined) => setQuery({ pointer: row?.pointer });
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15 }[event.key];
    if (step !== undefined && visible.length) {
      event.preventDefault();
      choose(visible[Math.max(0, Math.min(visible.length - 1, active + step))]);
    } else if (event.key === "Escape" && chosen) choose(undefined);
  };

  if (read.error !== undefined && !read.data) return <ErrorNote error={read.error} retry={read.reload} />;
  if (!read.data) return <Skeleton lines={10} />;
  const effective = read.data.document;
  const layers = effective?.layers ?? [];
  const own = layers.find((layer) => layer.scope === scope && layer.kind === kind);
  return (
    <>
      <Overrides namespace={namespace} config={config} layers={layers} version={version} onEnd={(layer) => onWrite(endOf({ namespace, config }, layer))} />
      {read.data.withheld.length > 0 && (
        <Note icon="lock">
          You may not read {read.data.withheld.length === 1 ? "one layer" : `${read.data.withheld.length} layers`} that take part: {read.data.withheld.map((layer) => layer.scope).join(", ")}. Values that others replace are not shown.
        </Note>
      )}
      <div class="row wrap values-bar">
        <SearchField id="value-search" label="Search keys and values" value={text} onValue={setText} onKeyDown={onKeyDown} />
        <Check label="Set in this layer only" checked={onlyModified} onChecked={(checked) => setQuery({ modified: checked ? "1" : undefined })} />
        <span class="soft small nowrap" role="status">
          {visible.length === complete.length ? `${complete.length.toLocaleString("en")} values` : `${visible.length.toLocaleString("en")} of ${complete.length.toLocaleString("en")} values`}
        </span>
      </div>
      {(fresh.pointers.size > 0 || fresh.gone > 0) && (
        <Note tone="good" icon="refresh" actions={<Button small onClick={fresh.clear}>Mark as seen</Button>}>
          {[fresh.pointers.size === 1 ? "One value was changed" : fresh.pointers.size ? `${fresh.pointers.size} values were changed` : "", fresh.gone === 1 ? "one value is gone" : fresh.gone ? `${fresh.gone} values are gone` : ""].filter(Boolean).join(", ")} just now{fresh.actor && ` by ${fresh.actor}`}
          {fresh.reason && `: ${fresh.reason}`}
        </Note>
      )}
      {complete.length === 0 ? (
        <Empty title={effective ? "This document is empty" : "Nothing is set down to this scope"}>
          <p>{effective ? "The layers have no values." : "The config has no layer at this scope, or above it. Form and Text make the first one."}</p>
        </Empty>
      ) : (
        <div class={chosen ? "values split" : "values"}>
          <div class="panel table-like" style={{ "--rows": `${visible.length * (isNarrow ? NARROW_ROW : ROW)}px` }} onKeyDown={onKeyDown}>
            <div class="head" aria-hidden="true">
              <span>Key</span>
              <span>Inherited</span>
              <span>
                This layer <ScopeBadge scope={scope} override={kind === "LAYER_KIND_OVERRIDE"} />
              </span>
              <span>Effective</span>
              <span>From</span>
              <span>Last change</span>
            </div>
            {visible.length === 0 ? (
              <Empty icon="search" title="No value matches">
                <p>{onlyModified ? "This layer sets no such value." : "Search for another key or value."}</p>
              </Empty>
            ) : (
              <VirtualList
                items={visible}
                rowHeight={isNarrow ? NARROW_ROW : ROW}
                keyOf={(row) => row.pointer}
                label="Values"
                active={active}
                row={(row) => <Line row={row} isActive={row.pointer === pointer} isFresh={fresh.pointers.has(row.pointer)} onChoose={() => choose(row.pointer === pointer ? undefined : row)} />}
              />
            )}
          </div>
          {chosen && <Details row={chosen} at={{ namespace, config, scope, kind }} onClose={() => choose(undefined)} onWrite={onWrite} />}
        </div>
      )}
      {scope !== "/" && !own && effective && (
        <p class="soft small">
          This scope has no {kind === "LAYER_KIND_OVERRIDE" ? "override" : "layer"} of its own: all values are inherited. See <a href={configHref(namespace, config, "edit", { scope: "/" })}>the layer of all scopes</a>.
        </p>
      )}
    </>
  );
}

function Line({ row, isActive, isFresh, onChoose }: { row: Row; isActive: boolean; isFresh: boolean; onChoose: () => void }) {
  const inherited = row.inherited ? shown(row.inherited.text, row.isSecret) : "";
  const own = row.own ? shown(row.own.text, row.isSecret) : "";
  const state = [row.own ? "own" : "", row.isOutvoted ? "outvoted" : "", isActive ? "active" : "", isFresh ? "fresh" : ""].filter(Boolean).join(" ");
  return (
    <button type="button" class={`line ${state}`} aria-pressed={isActive} aria-label={nameOf(row, isFresh)} onClick={onChoose} tabIndex={-1}>
      <span class="key mono truncate" title={row.pointer}>
        {isFresh && <span class="new">new</span>}
        {row.name}
      </span>
      <span class={row.inherited?.text === undefined && row.inherited ? "value mono truncate removed" : "value mono truncate soft"} title={inherited}>
        {inherited || <span class="faint">–</span>}
      </span>
      <span class={`value mono truncate ${row.own && row.own.text === undefined ? "removed" : ""}`} title={own}>
        {own || <span class="faint">–</span>}
      </span>
      <span class={`value mono truncate strong ${row.effective === undefined ? "removed" : ""}`} title={shown(row.effective, row.isSecret)}>
        {shown(row.effective, row.isSecret)}
      </span>
      <span class="from">
        <ScopeBadge scope={row.origin.scope} override={row.origin.kind === "LAYER_KIND_OVERRIDE"} />
      </span>
      <span class="who soft small truncate" title={row.blame?.reason}>
        {row.blame?.time && (
          <>
            <Actor name={row.blame.actor} /> <Time at={row.blame.time} />
          </>
        )}
      </span>
    </button>
  );
}

/** The row in words, for screen readers. */
function nameOf(row: Row, isFresh: boolean): string {
  const said = (text: string | undefined) => (row.isSecret ? "a secret" : shown(text, false));
  return [
    `${row.name}: ${row.effective === undefined ? "removed" : said(row.effective)}`,
    `from ${row.origin.scope}${row.origin.kind === "LAYER_KIND_OVERRIDE" ? " override" : ""}`,
    row.own ? `this layer says ${row.own.text === undefined ? "removed" : said(row.own.text)}` : "",
    row.inherited ? `inherited ${row.inherited.text === undefined ? "removed" : said(row.inherited.text)}` : "",
    isFresh ? "changed just now" : "",
  ]
    .filter(Boolean)
    .join(", ");
}

/** The pointers that were changed by others since the page was opened, until they are marked as seen. */
function useFresh({ namespace, config }: { namespace: string; config: string }, key: string, rows: readonly Row[]) {
  const before = useRef<{ key: string; rows: readonly Row[] }>({ key: "", rows: [] });
  const [pointers, setPointers] = useState<ReadonlySet<string>>(new Set());
  const [gone, setGone] = useState(0);
  useEffect(() => {
    const last = before.current;
    before.current = { key, rows };
    if (last.key !== key) {
      setPointers(new Set());
      setGone(0);
      return;
    }
    if (!last.rows.length) return;
    const changed = changedSince(last.rows, rows);
    if (changed.size) setPointers((known) => new Set([...known, ...changed]));
    const left = new Set(rows.map(({ pointer }) => pointer));
    const lost = last.rows.filter(({ pointer }) => !left.has(pointer)).length;
    if (lost) setGone((before) => before + lost);
  }, [rows]);
  const commit = pointers.size || gone ? recent.value.find(({ changes }) => changes.some((each) => each.namespace === namespace && each.config === config)) : undefined;
  const clear = () => {
    setPointers(new Set());
    setGone(0);
  };
  return { pointers, gone, actor: commit?.actor ?? "", reason: commit?.reason ?? "", clear };
}
