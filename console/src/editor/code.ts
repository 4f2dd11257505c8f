/** The text editor: CodeMirror in a shadow root, so that its styles are constructed sheets, which the content security policy of the page allows. */
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap, type CompletionContext, type CompletionResult } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { bracketMatching, foldGutter, foldKeymap, foldService, HighlightStyle, indentService, indentUnit, StreamLanguage, syntaxHighlighting } from "@codemirror/language";
import { type Diagnostic, lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { search, searchKeymap } from "@codemirror/search";
import { Compartment, EditorState, Facet, Prec } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, highlightActiveLineGutter, highlightSpecialChars, hoverTooltip, keymap, lineNumbers, type Tooltip } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { jsonMode, tomlMode, yamlMode } from "./modes";
import type { Format, TextChange } from "./tree";

export interface CodeOptions {
  text: string;
  format: Format;
  label: string;
  isReadOnly?: boolean;
  onChange: (text: string) => void;
  onSave: () => void;
  complete: (context: CompletionContext) => CompletionResult | null;
  /** What is known of a position, as an element. */
  hover: (position: number) => { from: number; to: number; element: HTMLElement } | undefined;
}

export interface Code {
  readonly host: HTMLElement;
  text(): string;
  /** Makes changes that can be undone. */
  change(changes: readonly TextChange[]): void;
  /** Another text, in another format perhaps. What was before can be undone as well. */
  replace(text: string, format: Format): void;
  mark(diagnostics: readonly Diagnostic[]): void;
  reveal(from: number, to?: number): void;
  focus(): void;
  destroy(): void;
}

/** So long after Escape, Tab moves the focus. */
const LEAVE_MS = 5_000;

const HIGHLIGHT = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName), tags.atom], color: "var(--accent)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--good)" },
  { tag: [tags.number], color: "var(--warn)" },
  { tag: [tags.bool, tags.null, tags.keyword], color: "var(--override)" },
  { tag: [tags.comment, tags.lineComment], color: "var(--text-faint)", fontStyle: "italic" },
  { tag: [tags.meta, tags.typeName, tags.labelName], color: "var(--override)" },
  { tag: [tags.punctuation, tags.separator, tags.bracket, tags.brace], color: "var(--text-soft)" },
]);

const THEME = EditorView.theme({
  "&": { height: "100%", fontSize: "var(--text-m)", color: "var(--text)", backgroundColor: "var(--surface)" },
  "&.cm-focused": { outline: "2px solid var(--focus)", outlineOffset: "-2px" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.55", overflow: "auto" },
  ".cm-content": { caretColor: "var(--text)", padding: "6px 0" },
  ".cm-cursor, .cm-dropCursor": { borderLeftColor: "var(--text)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--selected)" },
  ".cm-gutters": { backgroundColor: "var(--surface)", color: "var(--text-faint)", border: "none", borderRight: "1px solid var(--line)" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--hover) 70%, transparent)" },
  ".cm-tooltip": { backgroundColor: "var(--raised)", color: "var(--text)", border: "1px solid var(--line)", borderRadius: "var(--radius)", boxShadow: "var(--shadow-l)", maxWidth: "min(32rem, 90vw)" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--selected)", color: "var(--text)" },
  ".cm-tooltip.cm-completionInfo": { padding: "6px 10px" },
  ".cm-completionDetail": { color: "var(--text-soft)", fontStyle: "normal" },
  ".cm-panels": { backgroundColor: "var(--sunken)", color: "var(--text)", borderColor: "var(--line)" },
  ".cm-textfield": { backgroundColor: "var(--surface)", color: "var(--text)", border: "1px solid var(--line-strong)", borderRadius: "4px" },
  ".cm-button": { backgroundImage: "none", backgroundColor: "var(--surface)", color: "var(--text)", border: "1px solid var(--line-strong)", borderRadius: "4px" },
  ".cm-panel.cm-search": { padding: "8px 12px", fontFamily: "var(--font)" },
  ".cm-panel.cm-search input, .cm-panel.cm-search button, .cm-panel.cm-search label": { fontSize: "var(--text-s)" },
  ".cm-panel.cm-search label": { display: "inline-flex", alignItems: "center", gap: "4px" },
  ".cm-panel.cm-search button[name=close]": { fontSize: "1.25rem", padding: "0 8px", color: "var(--text-soft)", cursor: "pointer" },
  ".cm-textfield:focus-visible, .cm-button:focus-visible": { outline: "2px solid var(--focus)", outlineOffset: "0" },
  ".cm-searchMatch": { backgroundColor: "var(--warn-soft)", outline: "1px solid var(--warn)" },
  ".cm-searchMatch-selected": { backgroundColor: "var(--selected)" },
  ".cm-matchingBracket": { backgroundColor: "var(--selected)", outline: "1px solid var(--line-strong)" },
  ".cm-foldPlaceholder": { backgroundColor: "var(--sunken)", border: "1px solid var(--line)", color: "var(--text-soft)" },
  ".cm-diagnostic": { padding: "6px 10px", whiteSpace: "pre-wrap", borderLeftWidth: "4px", fontFamily: "var(--font)" },
  ".cm-diagnosticAction": { backgroundColor: "var(--accent)", color: "var(--on-accent)", borderRadius: "4px", padding: "2px 8px", margin: "6px 0 0", display: "block" },
  ".cm-lint-marker": { width: "0.7em", height: "0.7em", margin: "0.4em 0 0 1px", borderRadius: "50%" },
  ".cm-lint-marker-error": { content: "normal", backgroundColor: "var(--bad)" },
  ".cm-lint-marker-warning": { content: "normal", backgroundColor: "var(--warn)", borderRadius: "2px" },
  ".cm-lint-marker-info": { content: "normal", backgroundColor: "var(--accent)" },
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--bad)", textDecorationSkipInk: "none", textUnderlineOffset: "3px" },
  ".cm-lintRange-warning": { backgroundImage: "none", textDecoration: "underline wavy var(--warn)", textDecorationSkipInk: "none", textUnderlineOffset: "3px" },
  ".cm-lintRange-info": { backgroundImage: "none", textDecoration: "underline dotted var(--accent)", textDecorationSkipInk: "none", textUnderlineOffset: "3px" },
  ".hover": { padding: "8px 12px", fontFamily: "var(--font)", lineHeight: "1.5" },
  ".hover p": { margin: "4px 0 0" },
  ".hover code": { fontFamily: "var(--mono)" },
  ".hover .soft": { color: "var(--text-soft)" },
});

const JSON_TEXT = StreamLanguage.define(jsonMode);
const YAML = StreamLanguage.define(yamlMode);
const TOML = StreamLanguage.define(tomlMode);

function languageOf(format: Format) {
  if (format === "FORMAT_YAML") return [YAML, isYaml.of(true), indentUnit.of("  ")];
  return format === "FORMAT_TOML" ? [TOML, indentUnit.of("  ")] : [JSON_TEXT, indentUnit.of("  ")];
}

/** Folds a line over the lines below that are indented deeper, whatever the format. */
const FOLDS = foldService.of((state, from) => {
  const line = state.doc.lineAt(from);
  const indent = columnsOf(line.text);
  if (indent < 0) return null;
  let end = line.to;
  for (let at = line.number + 1; at <= state.doc.lines; at++) {
    const next = state.doc.line(at);
    const columns = columnsOf(next.text);
    if (columns < 0) continue;
    if (columns <= indent) break;
    end = next.to;
  }
  return end > line.to ? { from: line.to, to: end } : null;
});

/** A new line is indented as the one before, and deeper after a bracket, or a name of YAML, that opens something. */
const INDENTS = indentService.of((context, at) => {
  const line = context.lineAt(at, -1);
  const opens = /[[{(]\s*$/.test(line.text) || (context.state.facet(isYaml) && /(?:^|\s)[^#]*:\s*$/.test(line.text));
  const closes = /^\s*[\]})]/.test(context.textAfterPos(at));
  return Math.max(0, columnsOf(line.text)) + (opens && !closes ? context.unit : 0);
});
const isYaml = Facet.define<boolean, boolean>({ combine: (values) => values[0] ?? false });

/** The indentation of a line; -1: the line is blank. */
function columnsOf(text: string): number {
  return text.search(/\S/);
}

export function createCode(parent: HTMLElement, options: CodeOptions): Code {
  const root = parent.shadowRoot ?? parent.attachShadow({ mode: "open" });
  const language = new Compartment();
  const whole = new CSSStyleSheet();
  whole.replaceSync(":host { display: block; height: 100%; }");
  root.adoptedStyleSheets = [whole];
  const hover = hoverTooltip((_, position): Tooltip | null => {
    const found = options.hover(position);
    return found ? { pos: found.from, end: found.to, above: true, create: () => ({ dom: found.element }) } : null;
  });
  const view = new EditorView({
    root,
    parent: root,
    state: EditorState.create({
      doc: options.text,
      extensions: [
        Prec.highest(
          keymap.of([
            { key: "Mod-s", preventDefault: true, run: () => (options.onSave(), true) },
            // Escape, then Tab, leaves the editor, whatever else Escape closes.
            { key: "Escape", run: (view) => (view.setTabFocusMode(LEAVE_MS), false) },
          ]),
        ),
        lineNumbers(),
        FOLDS,
        INDENTS,
        foldGutter(),
        lintGutter(),
        highlightSpecialChars(),
        history(),
        TYPING,
        drawSelection(),
        highlightActiveLine(),
        highlightActiveLineGutter(),
        bracketMatching(),
        closeBrackets(),
        search({ top: true }),
        autocompletion({ override: [options.complete], icons: false }),
        syntaxHighlighting(HIGHLIGHT),
        THEME,
        hover,
        language.of(languageOf(options.format)),
        EditorState.readOnly.of(options.isReadOnly ?? false),
        EditorState.tabSize.of(2),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ "aria-label": options.label, spellcheck: "false", autocapitalize: "off", autocorrect: "off" }),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) options.onChange(update.state.doc.toString());
        }),
        keymap.of([...closeBracketsKeymap, ...completionKeymap, ...lintKeymap, ...searchKeymap, ...historyKeymap, ...foldKeymap, ...defaultKeymap, indentWithTab]),
      ],
    }),
  });
  return {
    host: parent,
    text: () => view.state.doc.toString(),
    change: (changes) => view.dispatch({ changes: changes.map((each) => ({ ...each })), userEvent: "input.form" }),
    replace: (text, format) => view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text }, effects: language.reconfigure(languageOf(format)), userEvent: "input.replace" }),
    mark: (diagnostics) => view.dispatch(setDiagnostics(view.state, clamped(diagnostics, view.state.doc.length))),
    reveal: (from, to = from) => {
      const end = Math.min(to, view.state.doc.length);
      view.dispatch({ selection: { anchor: Math.min(from, end), head: end }, effects: EditorView.scrollIntoView(Math.min(from, end), { y: "center" }) });
      view.focus();
    },
    focus: () => view.focus(),
    destroy: () => view.destroy(),
  };
}

/**
 * Typing over a selection is done here. Chromium would keep the colour of the text that it replaces, by `style="..."`, which the content security
 * policy refuses with a message.
 */
const TYPING = EditorView.domEventHandlers({
  beforeinput(event, view) {
    const { from, to, empty } = view.state.selection.main;
    if (event.inputType !== "insertText" || event.data === null || event.isComposing || view.composing || empty) return false;
    event.preventDefault();
    const text = event.data;
    const insert = () => view.state.update(view.state.replaceSelection(text), { userEvent: "input.type", scrollIntoView: true });
    if (!view.state.facet(EditorView.inputHandler).some((handle) => handle(view, from, to, text, insert))) view.dispatch(insert());
    return true;
  },
});

/** Findings of an older text can lie beyond the end of this one. */
function clamped(diagnostics: readonly Diagnostic[], length: number): Diagnostic[] {
  return diagnostics.map((each) => ({ ...each, from: Math.min(each.from, length), to: Math.min(each.to, length) }));
}
