// Whether somebody may do something, as a sentence, with the grants that decide. Knows AuthService.CanI; the question is in the address.
import { useState } from "preact/hooks";
import { get, type Schemas } from "../../api/client";
import { revisionOf } from "../../api/live";
import { place, setQuery } from "../../router";
import { Badge } from "../../ui/badge";
import { Button } from "../../ui/button";
import { SelectField, TextField } from "../../ui/field";
import { useQuery } from "../../ui/query";
import { ErrorNote, Note, Skeleton } from "../../ui/states";
import { VERBS } from "./policy";

const LACKS: Record<Schemas["BindingLack"], string> = {
  BINDING_LACK_UNSPECIFIED: "does not match",
  BINDING_LACK_SUBJECT: "is for other subjects",
  BINDING_LACK_VERB: "has a role without the permission",
  BINDING_LACK_NAMESPACE: "is for other namespaces",
  BINDING_LACK_CONFIG: "is for other configs",
  BINDING_LACK_SCOPE: "is for another scope",
};

export function CanI() {
  const { query } = place.value;
  const asked = {
    subject: query.get("who") ?? "",
    groups: (query.get("groups") ?? "").split(",").map((group) => group.trim()).filter((group) => group !== ""),
    verb: query.get("verb") ?? "",
    namespace: query.get("in") ?? "",
    config: query.get("config") ?? "",
    scope: query.get("at") ?? "",
  };
  const [draft, setDraft] = useState({ ...asked, groups: asked.groups.join(", "), verb: asked.verb || "write" });
  const key = asked.verb === "" ? undefined : JSON.stringify(asked);
  const answer = useQuery(key, (signal) => get("/v1/can-i", { query: asked, signal }), revisionOf("confwatch", "policy").value);
  const ask = (event: Event) => {
    event.preventDefault();
    setQuery({
      who: draft.subject.trim() || undefined,
      groups: draft.groups.trim() || undefined,
      verb: draft.verb,
      in: draft.namespace.trim() || undefined,
      config: draft.config.trim() || undefined,
      at: draft.scope.trim() || undefined,
    });
  };
  const target = asked.namespace === "" ? "the whole store" : asked.config === "" ? `all configs of ${asked.namespace}` : `${asked.namespace}/${asked.config}`;
  return (
    <section class="panel" aria-label="Ask about a permission">
      <header><h2>May somebody do something?</h2></header>
      <div class="body stack">
        <form class="sentence" onSubmit={ask}>
          <span class="word">May</span>
          <TextField label="Who" placeholder="you" value={draft.subject} onValue={(subject) => setDraft({ ...draft, subject })} />
          {draft.subject !== "" && <TextField label="in the groups" placeholder="sre, oncall" value={draft.groups} onValue={(groups) => setDraft({ ...draft, groups })} />}
          <SelectField label="do" value={draft.verb} onValue={(verb) => setDraft({ ...draft, verb })} options={VERBS.map((verb) => ({ value: verb, label: verb }))} />
          <span class="word">on</span>
          <TextField label="Namespace" placeholder="the store" value={draft.namespace} onValue={(namespace) => setDraft({ ...draft, namespace })} />
          <TextField label="Config" placeholder="all" value={draft.config} onValue={(config) => setDraft({ ...draft, config })} />
          <TextField label="at the scope" placeholder="/" value={draft.scope} onValue={(scope) => setDraft({ ...draft, scope })} />
          <Button type="submit" kind="primary">Ask</Button>
        </form>
        {answer.loading && key !== undefined && answer.data === undefined && <Skeleton lines={2} />}
        {answer.error !== undefined && <ErrorNote error={answer.error} />}
        {answer.data !== undefined && (
          <div role="status" aria-label="Answer" class="stack">
            <Note tone={answer.data.allowed ? "good" : "bad"} icon={answer.data.allowed ? "check" : "lock"}>
              <p>
                <strong>{answer.data.allowed ? "Yes" : "No"}:</strong> {asked.subject || "you"} may {answer.data.allowed ? "" : "not "}do <strong>{asked.verb}</strong> on {target} at{" "}
                <code>{asked.scope || "/"}</code>.
              </p>
              <p class="soft small">This takes {answer.data.needs}.</p>
            </Note>
            {answer.data.bindings.length > 0 && (
              <>
                <h3>{answer.data.allowed ? "The grant that decides" : "The nearest grants, and why they do not help"}</h3>
                <ul class="stack">
                  {answer.data.bindings.map((binding) => (
                    <li key={binding.index} class="break">
                      <p><Badge>row {binding.index + 1}</Badge> <strong>{binding.text}</strong> for {binding.subjects.join(", ") || "nobody"}</p>
                      {binding.lacks.length > 0 && <p class="soft small">It {binding.lacks.map((lack) => LACKS[lack]).join(", and ")}.</p>}
                    </li>
                  ))}
                </ul>
              </>
            )}
            {answer.data.bindings.length === 0 && !answer.data.allowed && <p class="soft">No grant comes near. {answer.data.explanation}</p>}
          </div>
        )}
      </div>
    </section>
  );
}
