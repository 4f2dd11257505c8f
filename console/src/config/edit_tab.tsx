// The tab that a config opens with: its values as a table, and the editor of a layer as form or text.
import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { EditorView } from "../editor/index";
import type { Target } from "../editor/layer";
import { type Plan, Review } from "../editor/review";
import { unsaved } from "../editor/unsaved";
import { place, setQuery } from "../router";
import { Button } from "../ui/button";
import { Segmented } from "../ui/field";
import { ErrorNote, Note, Skeleton } from "../ui/states";
import { toast } from "../ui/toast";
import type { LayerKind } from "./rows";
import { Values } from "./values";

interface Props {
  namespace: string;
  config: string;
  scope: string;
}

type View = "table" | EditorView;
type LayerEditor = ComponentType<{ target: Target; view: EditorView | undefined; pointer?: string | undefined }>;
let loaded: LayerEditor | undefined;

export function EditTab({ namespace, config, scope }: Props) {
  const { query } = place.value;
  const kind: LayerKind = query.get("kind") === "override" ? "LAYER_KIND_OVERRIDE" : "LAYER_KIND_BASE";
  const named = query.get("view");
  const view: View = named === "text" || named === "form" ? named : "table";
  const target: Target = { namespace, config, scope, kind };
  const key = JSON.stringify(target);
  const [plan, setPlan] = useState<Plan>();
  const [turn, setTurn] = useState(0);
  // The editor keeps its text while the table, or another layer, is looked at.
  const [held, setHeld] = useState<Target | undefined>(view === "table" ? undefined : target);
  const heldKey = held && JSON.stringify(held);
  useEffect(() => {
    if (view !== "table" && heldKey !== key && !unsaved.value) setHeld(target);
  }, [view, key, heldKey, unsaved.value]);
  const isHere = heldKey === key;
  const isShown = view !== "table" && isHere;
  return (
    <>
      <div class="row wrap between">
        <Segmented<View>
          label="View"
          value={view}
          options={[
            { value: "table", label: "Table" },
            { value: "form", label: "Form" },
            { value: "text", label: "Text" },
          ]}
          onValue={(value) => setQuery({ view: value === "table" ? undefined : value })}
        />
        <Segmented
          label="Layer of this scope"
          value={kind}
          options={[
            { value: "LAYER_KIND_BASE", label: "Base layer" },
            { value: "LAYER_KIND_OVERRIDE", label: "Override" },
          ]}
          onValue={(value) => setQuery({ kind: value === "LAYER_KIND_OVERRIDE" ? "override" : undefined })}
        />
      </div>
      {!isShown && held && unsaved.value && (
        <Note tone="warn" actions={<Button small onClick={() => setQuery({ view: "text", kind: held.kind === "LAYER_KIND_OVERRIDE" ? "override" : undefined })}>Back to the editor</Button>}>
          The editor has changes of the {held.kind === "LAYER_KIND_OVERRIDE" ? "override" : "base layer"} at {held.scope} that are not saved. {view === "table" && "The table shows what is stored."}
        </Note>
      )}
      {view === "table" && (
        <Values {...target} turn={turn} onWrite={setPlan} />
      )}
      {held && (isShown || unsaved.value) && <Editor key={heldKey} target={held} view={isShown ? view : undefined} pointer={query.get("pointer") ?? undefined} />}
      {plan && (
        <Review
          plan={plan}
          onClose={() => setPlan(undefined)}
          onSaved={() => setTurn((before) => before + 1)}
          onConflict={() => {
            setPlan(undefined);
            toast("Somebody else changed this layer meanwhile, and nothing was written. Look at the values as they are now.", "warn");
          }}
        />
      )}
    </>
  );
}

function Editor(props: { target: Target; view: EditorView | undefined; pointer: string | undefined }) {
  const [, setTurn] = useState(0);
  const [error, setError] = useState<unknown>();
  useEffect(() => {
    if (loaded) return;
    import("../editor/index").then(
      (module) => {
        loaded = module.default;
        setTurn((turn) => turn + 1);
      },
      () => setError(new Error("The editor could not be read: the server is away, or has another version since. Reload the page.")),
    );
  }, []);
  if (error) return <ErrorNote error={error} retry={() => location.reload()} />;
  const LayerEditor = loaded;
  return LayerEditor ? <LayerEditor {...props} /> : <Skeleton lines={10} />;
}
