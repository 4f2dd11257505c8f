// The editor of a layer: text and form, two views of one text. Read when it is opened first: it brings CodeMirror.
import type { Diagnostic } from "@codemirror/lint";
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { recent, revisionOf } from "../api/live";
import { isAbort, textOf } from "../api/problem";
import { useShortcut } from "../layout/shortcuts";
import { beforeLeaving } from "../router";
import { isProduction } from "../ui/badge";
import { Button, IconButton } from "../ui/button";
import { confirm } from "../ui/dialog";
import { useQuery } from "../ui/query";
import { ErrorNote, Note, Skeleton } from "../ui/states";
import { toast, toastError } from "../ui/toast";
import { type Code, createCode } from "./code";
import { complete, hover, type Known } from "./complete";
import { EditRefused, loadFormat, parse, removeValue, render, setValue, valueOf } from "./document";
import { fixOf, rangeOf } from "./fixes";
import { type Inherited, readInherited, readLayer, readSchema, type Stored, type Target, usualFormat } from "./layer";
import { type Choices, editsOfMine, mergedValue, type Merged } from "./merge";
import { useLater } from "./later";
import { useDenial } from "./permission";
import { Problems } from "./problems";
import { type Plan, Review } from "./review";
import { fieldAt, type SchemaSet } from "./schema";
import { applyChanges, type Format, FORMATS, formatName, type Parsed, placeOf, type TextChange } from "./tree";
import { askToLeave, unsaved } from "./unsaved";
import { type Problem, useValidation } from "./validation";
import { differences, pointerPath } from "./value";

export type EditorView = "text" | "form";

interface Props {
  target: Target;
  /** `undefined`: the editor keeps its text, and is not shown. */
  view: EditorView | undefined;
  /** The value to show first. */
  pointer?: string | undefined;
}

interface Loaded {
  stored: Stored;
  schema: SchemaSet | undefined;
  inherited: Inherited;
}

/** So many findings have their suggestion as a correction. */
const FIXES_MAX = 100;
/** Text above which parsing waits for a pause in typing. */
const LARGE = 200_000;

async function load(target: Target, signal: AbortSignal): Promise<Loaded> {
  const [stored, schema, inherited] = await Promise.all([readLayer(target, signal), readSchema(target, signal), readInherited(target, signal)]);
  if (stored.version === 0) {
    const format = usualFormat(inherited.layers);
    await loadFormat(format);
    return { stored: { ...stored, format, text: render(format, new Map()) ?? "" }, schema, inherited };
  }
  return { stored, schema, inherited };
}

export default function LayerEditor({ target, view, pointer }: Props) {
  const key = JSON.stringify(target);
  const read = useQuery(key, (signal) => load(target, signal));
  if (read.error !== undefined && !read.data) return view ? <ErrorNote error={read.error} retry={read.reload} /> : null;
  if (!read.data) return view ? <Skeleton lines={12} /> : null;
  return <Editing key={key} target={target} view={view} pointer={pointer} loaded={read.data} />;
}

function Editing({ target, view, pointer, loaded }: Props & { loaded: Loaded }) {
  const { schema } = loaded;
  const [base, setBase] = useState(loaded.stored);
  const [text, setText] = useState(loaded.stored.text);
  const [format, setFormat] = useState<Format>(loaded.stored.format);
  const [inherited, setInherited] = useState(loaded.inherited);
  const [theirs, setTheirs] = useState<Stored>();
  const [isMerging, setMerging] = useState(false);
  const [plan, setPlan] = useState<Plan>();
  const [isFull, setFull] = useState(false);
  const parsed = useParsed(format, text);
  const value = useMemo(() => valueOf(parsed), [parsed]);
  const isDirty = text !== base.text;
  const changes = useMemo(() => (isDirty && value !== undefined ? differences(base.value, value).length : 0), [isDirty, value, base]);
  const validation = useValidation(target, text, format, isDirty || base.version > 0);
  const problems = useMemo(() => problemsOf(parsed, validation.findings, target, schema), [parsed, validation.findings]);

  const host = useRef<HTMLDivElement>(null);
  const code = useRef<Code | undefined>(undefined);
  const known = useRef<Known>({ schema, inherited: inherited.value, parsed, format });
  known.current = { schema, inherited: inherited.value, parsed, format };
  const openReview = useRef(() => {});

  useEffect(() => {
    if (!host.current) return;
    const made = createCode(host.current, {
      text: loaded.stored.text,
      format: loaded.stored.format,
      label: `Layer ${target.scope} of ${target.namespace}/${target.config} as text`,
      onChange: setText,
      onSave: () => openReview.current(),
      complete: (context) => complete(context, known.current),
      hover: (position) => hover(position, known.current),
    });
    code.current = made;
    return () => made.destroy();
  }, []);

  const change = useCallback(
    (make: (parsed: Parsed) => TextChange[]) => {
      const editor = code.current;
      if (!editor) return;
      try {
        editor.change(make(parse(format, editor.text())));
      } catch (error) {
        if (error instanceof EditRefused) toastError(error.message);
        else throw error;
      }
    },
    [format],
  );

  useEffect(() => {
    code.current?.mark(problems.flatMap((problem) => diagnosticOf(problem, change)));
  }, [problems, change]);

  useEffect(() => {
    if (view !== "text" || pointer === undefined || !parsed.root) return;
    const place = placeOf(parsed, pointer);
    if (place) code.current?.reveal(place.from, place.to);
  }, [view, pointer]);
  useUnsaved(isDirty);

  /** What is stored now becomes the base. */
  const rebase = (stored: Stored, next: string) => {
    setBase(stored);
    setTheirs(undefined);
    if (format !== stored.format && next === stored.text) setFormat(stored.format);
    if (code.current && code.current.text() !== next) code.current.replace(next, next === stored.text ? stored.format : format);
  };

  /** There is no layer any more: the text is that of an empty one. */
  const emptied = (stored: Stored) => {
    const empty = render(format, new Map()) ?? "";
    rebase({ ...stored, format, text: empty }, empty);
  };

  // Somebody else may change the layer meanwhile.
  const revision = revisionOf(target.namespace, target.config).value;
  const seen = useRef(revision);
  /** Versions of the layer that this editor has written. */
  const written = useRef(new Set<number>());
  const state = useRef({ base, isDirty });
  state.current = { base, isDirty };
  useEffect(() => {
    if (revision === seen.current) return;
    seen.current = revision;
    const controller = new AbortController();
    Promise.all([readLayer(target, controller.signal), readInherited(target, controller.signal)]).then(
      ([stored, above]) => {
        setInherited(above);
        const now = state.current;
        if (stored.version === now.base.version || written.current.has(stored.version)) return;
        if (now.isDirty) setTheirs(stored);
        else {
          if (stored.version) rebase(stored, stored.text);
          else emptied(stored);
          toast(`${authorOf(target)} changed this layer: the text is the new one.`);
        }
      },
      (error: unknown) => isAbort(error) || toastError(error),
    );
    return () => controller.abort();
  }, [revision]);

  const conflict = async () => {
    setPlan(undefined);
    try {
      setTheirs(await readLayer(target));
      setMerging(true);
    } catch (error) {
      toastError(error);
    }
  };

  openReview.current = () => {
    if (plan || isMerging || (!view && !isDirty)) return;
    const now = parse(format, code.current?.text() ?? text);
    const after = valueOf(now);
    const first = now.problems[0];
    if (after === undefined || first) {
      toastError(`The text cannot be read: ${first?.message ?? "it is no document"}.`);
      if (first) code.current?.reveal(first.from, first.to);
      return;
    }
    if (theirs) {
      setMerging(true);
      return;
    }
    setPlan({
      target,
      title: base.version ? "Review the change of" : "Review the new layer",
      verb: base.version ? "Save" : "Create the layer",
      action: { replace: { content: now.text, format } },
      after,
      expectedVersion: base.version,
      expires: base.expires,
      isSecret: (path) => fieldAt(schema, path)?.isSecret ?? false,
      hasComments: hasComments(now),
    });
  };
  useShortcut("s", "Review the changes of the editor", () => openReview.current());
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "s" && !event.defaultPrevented) {
        event.preventDefault();
        openReview.current();
      }
      if (event.key === "Escape" && isFull && !document.querySelector("dialog[open]") && !event.defaultPrevented) setFull(false);
    };
    addEventListener("keydown", onKeyDown);
    return () => removeEventListener("keydown", onKeyDown);
  }, [isFull]);

  const discard = async () => {
    if (!(await confirm({ title: "Discard your changes?", text: "The text becomes what is stored.", action: "Discard changes", danger: true }))) return;
    const stored = theirs ?? base;
    rebase(stored, stored.text);
  };

  const remove = () =>
    setPlan({
      target,
      title: "Delete the layer",
      verb: "Delete",
      action: { delete: {} },
      after: null,
      expectedVersion: base.version,
    });

  const toFormat = async (next: Format) => {
    if (next === format) return;
    await loadFormat(next);
    const now = parse(format, code.current?.text() ?? text);
    const current = valueOf(now);
    if (current === undefined || now.problems.length) {
      toastError("The text cannot be read: correct it before it is written in another format.");
      return;
    }
    const written = render(next, current);
    if (written === undefined) {
      toastError(`${formatName(next)} cannot express this document: it has no null.`);
      return;
    }
    if (hasComments(now) && !(await confirm({ title: `Write the layer as ${formatName(next)}?`, text: "The comments of the text are lost.", action: `Write as ${formatName(next)}` }))) return;
    setFormat(next);
    code.current?.replace(written, next);
  };

  const applyMerge = (merged: Merged, choices: Choices) => {
    if (!theirs || value === undefined || !code.current) return;
    let next = code.current.text();
    try {
      for (const edit of editsOfMine(merged, choices)) {
        const now = parse(format, next);
        next = applyChanges(next, edit.value === undefined ? removeValue(now, pointerPath(edit.pointer)) : setValue(now, pointerPath(edit.pointer), edit.value));
      }
    } catch (error) {
      if (!(error instanceof EditRefused)) throw error;
      const written = render(format, mergedValue(value, merged, choices));
      if (written === undefined) {
        toastError(error);
        return;
      }
      next = written;
      toast("The merged layer was written anew: its comments are gone.", "warn");
    }
    rebase(theirs, next);
    setMerging(false);
    toast("Merged. Review the outcome before you save it.");
  };

  const denial = useDenial(target);
  const merging = useLater(isMerging || theirs !== undefined, () => import("./merge_dialog"));
  const forms = useLater(view === "form", () => import("./form"));
  const isEmpty = value instanceof Map && value.size === 0;
  return (
    <div class={`editor ${isFull ? "full" : ""}`} hidden={!view}>
      <div class="row wrap editor-bar">
        <label class="row small">
          <span class="soft">Format</span>
          <select class="select" aria-label="Format" value={format} onChange={(event) => void toFormat(event.currentTarget.value as Format).catch(toastError)}>
            {FORMATS.map((each) => (
              <option key={each} value={each}>
                {formatName(each)}
              </option>
            ))}
          </select>
        </label>
        <span class="soft small grow" role="status">
          {statusOf(isDirty, changes, value === undefined, validation.state, problems)}
        </span>
        <IconButton icon="external" label={isFull ? "Leave full screen" : "Full screen"} aria-pressed={isFull} onClick={() => setFull(!isFull)} />
        {base.version > 0 && <IconButton icon="trash" label="Delete this layer" onClick={remove} />}
        <Button icon="undo" disabled={!isDirty} onClick={() => void discard()}>
          Discard
        </Button>
        <Button kind={isProduction(target.scope) ? "danger" : "primary"} icon="check" disabled={!isDirty} title="Ctrl S" onClick={() => openReview.current()}>
          Review{changes ? ` ${changes}` : ""}
        </Button>
      </div>
      {theirs && !isMerging && (
        <Note tone="warn" actions={<Button small onClick={() => setMerging(true)}>Merge</Button>}>
          {authorOf(target)} changed this layer while you were editing. Merge before you save: nothing is overwritten.
        </Note>
      )}
      {denial && <Note tone="warn" icon="lock">{denial}</Note>}
      {base.version === 0 && !isDirty && <Note>This scope has no {target.kind === "LAYER_KIND_OVERRIDE" ? "override" : "layer"} yet. What you write here becomes one.</Note>}
      {validation.error !== undefined && <Note tone="warn">The server does not check this text: {textOf(validation.error)}</Note>}
      <div class="panes">
        <div class="code" ref={host} hidden={view !== "text"} data-format={format} />
        {view === "form" && (
          <div class="form-pane" tabIndex={-1}>
            {value === undefined || parsed.problems.length ? (
              <Note tone="bad">The form needs a text that can be read. Correct it in the text view: {parsed.problems[0]?.message}.</Note>
            ) : !forms ? (
              <Skeleton lines={8} />
            ) : (
              <forms.Form value={value} schema={schema} inherited={inherited} problems={problems} format={format} change={change} isEmpty={isEmpty} />
            )}
          </div>
        )}
      </div>
      <Problems problems={problems} omitted={validation.omitted} scope={target.scope} onReveal={(range) => code.current?.reveal(range.from, range.to)} onFix={change} canReveal={view === "text"} />
      {plan && (
        <Review
          plan={plan}
          onClose={() => setPlan(undefined)}
          onConflict={() => void conflict()}
          onSaved={(saved) => {
            written.current.add(saved.version);
            void readLayer(target).then(
              (stored) => (stored.version ? rebase(stored, stored.text) : emptied(stored)),
              (error: unknown) => toastError(error),
            );
          }}
        />
      )}
      {merging && isMerging && theirs && value !== undefined && (
        <merging.MergeDialog
          base={base.value}
          mine={value}
          theirs={theirs}
          isSecret={(path) => fieldAt(schema, path)?.isSecret ?? false}
          onMerge={applyMerge}
          onClose={() => setMerging(false)}
          onTakeTheirs={() => {
            rebase(theirs, theirs.text);
            setMerging(false);
          }}
          onKeepMine={() => {
            rebase(theirs, code.current?.text() ?? text);
            setMerging(false);
          }}
        />
      )}
    </div>
  );
}

/** Who changed the config last, as far as the page has seen it. */
function authorOf({ namespace, config }: Target): string {
  return recent.value.find(({ changes }) => changes.some((each) => each.namespace === namespace && each.config === config))?.actor || "Somebody";
}

function statusOf(isDirty: boolean, changes: number, isBroken: boolean, state: string, problems: readonly Problem[]): string {
  const errors = problems.filter(({ severity }) => severity === "error").length;
  const words = [];
  if (isBroken) words.push("the text cannot be read");
  else if (!isDirty) words.push("as it is stored");
  else words.push(changes === 1 ? "1 value changed, not saved" : changes ? `${changes.toLocaleString("en")} values changed, not saved` : "the text differs, its values do not");
  if (state === "checking") words.push("checking…");
  else if (errors) words.push(errors === 1 ? "1 error" : `${errors} errors`);
  else if (state === "checked" && isDirty) words.push("no errors");
  return words.join(" · ");
}

/** Parses at once where that is quick, and otherwise after a pause. */
function useParsed(format: Format, text: string): Parsed {
  const [slow, setSlow] = useState<{ format: Format; text: string }>({ format, text });
  const isLarge = text.length > LARGE;
  useEffect(() => {
    if (!isLarge) return;
    const timer = setTimeout(() => setSlow({ format, text }), format === "FORMAT_YAML" ? 1_000 : 400);
    return () => clearTimeout(timer);
  }, [format, text, isLarge]);
  const input = isLarge ? slow : { format, text };
  return useMemo(() => parse(input.format, input.text), [input.format, input.text]);
}

function problemsOf(parsed: Parsed, findings: ReturnType<typeof useValidation>["findings"], target: Target, schema: SchemaSet | undefined): Problem[] {
  const local: Problem[] = parsed.problems.map((each) => ({ severity: "error", code: "SYNTAX", message: each.message, suggestion: "", scope: target.scope, pointer: "", range: { from: each.from, to: each.to } }));
  const isReadable = parsed.root !== undefined && !parsed.problems.length;
  const told = findings
    .filter((each) => isReadable || !local.length || each.pointer !== "")
    .map((finding, at): Problem => {
      const severity = finding.severity === "SEVERITY_ERROR" ? "error" : finding.severity === "SEVERITY_WARNING" ? "warning" : "info";
      const range = rangeOf(finding, parsed);
      return { severity, code: finding.code, message: finding.message, suggestion: finding.suggestion, scope: finding.scope, pointer: finding.pointer, range, fix: isReadable && at < FIXES_MAX ? fixOf(finding, parsed, schema) : undefined };
    });
  return [...local, ...told];
}

function diagnosticOf(problem: Problem, change: (make: (parsed: Parsed) => TextChange[]) => void): Diagnostic[] {
  if (!problem.range) return [];
  const { fix } = problem;
  return [
    {
      ...problem.range,
      severity: problem.severity,
      source: problem.code,
      message: problem.suggestion ? `${problem.message}\n${problem.suggestion}` : problem.message,
      ...(fix ? { actions: [{ name: fix.label, apply: () => change(fix.changes) }] } : {}),
    },
  ];
}

/** Asks before text is lost. */
function useUnsaved(isDirty: boolean): void {
  const dirty = useRef(isDirty);
  dirty.current = isDirty;
  useEffect(() => {
    unsaved.value = isDirty;
  }, [isDirty]);
  useEffect(() => {
    const end = beforeLeaving({ isDirty: () => dirty.current, confirm: askToLeave });
    return () => {
      end();
      unsaved.value = false;
    };
  }, []);
}

function hasComments(parsed: Parsed): boolean {
  return parsed.format !== "FORMAT_JSON" && /(^|\s)#/.test(parsed.text);
}

