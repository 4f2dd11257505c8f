// Blame: for each value of a document, the commit that made it what it is. Knows ConfigService.Blame.
import { useState } from "preact/hooks";
import { get } from "../../api/client";
import { revisionOf } from "../../api/live";
import { ScopeBadge } from "../../ui/badge";
import { Actor, pathOf, sourceName } from "../../ui/changes";
import { SearchField } from "../../ui/field";
import { useQuery } from "../../ui/query";
import { Note } from "../../ui/states";
import { Time } from "../../ui/time";
import { changesHref } from "../parts/links";
import { ListState } from "../parts/list";
import { count } from "../parts/words";

/** So many values are in the page at once. */
const SHOWN_MAX = 500;

export function Blame({ namespace, config, scope }: { namespace: string; config: string; scope: string }) {
  const [filter, setFilter] = useState("");
  const answer = useQuery(
    `blame ${namespace}/${config}@${scope}`,
    (signal) => get("/v1/namespaces/{namespace}/configs/{config}/blame", { path: { namespace, config }, query: { scope }, signal, maskSecrets: true }),
    revisionOf(namespace, config).value,
  );
  const found = (answer.data?.values ?? []).filter((value) => pathOf(value.pointer).includes(filter) || value.pointer.includes(filter));
  const shown = found.slice(0, SHOWN_MAX);
  return (
    <section class="stack" aria-label="Blame">
      <p class="soft">Each value of the document at <ScopeBadge scope={scope} /> and the commit that made it what it is.</p>
      {(answer.data?.values.length ?? 0) > 10 && <SearchField label="Find a value by its place" value={filter} onValue={setFilter} />}
      <ListState list={answer} shown={found.length} empty={filter === "" ? "The document has no values" : "No value has this in its place"} />
      {found.length > 0 && (
        <div class="panel scroll-x" tabIndex={0} role="region" aria-label="Values and their commits">
          <table class="table cards">
            <thead>
              <tr><th scope="col">Place</th><th scope="col">Value</th><th scope="col">Layer</th><th scope="col">Changed by</th><th scope="col">When</th><th scope="col">Reason</th></tr>
            </thead>
            <tbody>
              {shown.map((value) => (
                <tr key={value.pointer}>
                  <td data-label="Place"><code class="break" title={value.pointer}>{pathOf(value.pointer)}</code></td>
                  <td data-label="Value">{value.removed ? <span class="soft">removed</span> : <code class="break">{clipped(value.value)}</code>}</td>
                  <td data-label="Layer"><ScopeBadge scope={value.layer?.scope ?? "/"} override={value.layer?.kind === "LAYER_KIND_OVERRIDE"} /></td>
                  {value.revision === 0
                    ? <td data-label="Changed by" colSpan={3} class="soft">Not known: the history of the layer was removed, is very long, or is not yours to read.</td>
                    : (
                      <>
                        <td data-label="Changed by">{value.actor === "" ? <span class="soft">unknown</span> : <><Actor name={value.actor} /> <span class="soft">{sourceName(value.source)}</span></>}</td>
                        <td data-label="When"><Time at={value.time} /> <a class="small" href={changesHref({ ns: namespace, revision: String(value.revision) })}>version {value.version}</a></td>
                        <td data-label="Reason" class="break">{value.reason || <span class="faint">none</span>}</td>
                      </>
                    )}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {found.length > shown.length && <p class="soft">{count(found.length - shown.length, "more value")} not shown: find them by their place.</p>}
      {(answer.data?.withheld.length ?? 0) > 0 && (
        <Note tone="warn" icon="lock">
          You may not read the layers at {answer.data?.withheld.map((layer) => layer.scope).join(", ")}: who changed their values is not shown.
        </Note>
      )}
    </section>
  );
}

function clipped(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
