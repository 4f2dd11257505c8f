/** Colours for JSON, YAML and TOML, token by token. Knows nothing of values: `json_text`, `yaml_text` and `toml_text` read them. */
import type { StreamParser, StringStream } from "@codemirror/language";

interface YamlState {
  /** The indentation above which lines belong to a block text; -1: none. */
  block: number;
  indent: number;
  flow: number;
}

const YAML_WORD = /^(?:true|false|True|False|TRUE|FALSE|null|Null|NULL|~)(?=\s*(?:[,\]}#]|$))/;
const YAML_NUMBER = /^[-+]?(?:0x[0-9a-fA-F]+|0o[0-7]+|(?:\d[\d]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?=\s*(?:[,\]}]|\s#|$))/;

function yamlToken(stream: StringStream, state: YamlState): string | null {
  if (stream.sol()) state.indent = stream.indentation();
  if (state.block >= 0) {
    if (stream.sol() && state.indent <= state.block && !/^\s*$/.test(stream.string)) state.block = -1;
    else {
      stream.skipToEnd();
      return "string";
    }
  }
  if (stream.eatSpace()) return null;
  const before = stream.pos === 0 ? " " : stream.string[stream.pos - 1];
  if (stream.peek() === "#" && /\s/.test(before ?? " ")) {
    stream.skipToEnd();
    return "comment";
  }
  if (stream.match(/^(---|\.\.\.)(?=\s|$)/)) return "meta";
  if (stream.match(/^[-?](?=\s|$)/) || stream.match(/^:(?=\s|$)/)) return "punctuation";
  if (stream.match(/^[[\]{},]/)) {
    const char = stream.current();
    state.flow = Math.max(0, state.flow + (char === "[" || char === "{" ? 1 : char === "]" || char === "}" ? -1 : 0));
    return "bracket";
  }
  if (stream.match(/^[&*][^\s,[\]{}]+/) || stream.match(/^![^\s]*/)) return "labelName";
  if (stream.match(/^[|>][-+0-9]*(?=\s*(?:#|$))/)) {
    state.block = state.indent;
    return "punctuation";
  }
  if (stream.match(/^"(?:[^"\\]|\\.)*"?/) || stream.match(/^'(?:[^']|'')*'?/)) return stream.match(/^\s*:(?=\s|$)/, false) ? "propertyName" : "string";
  if (stream.match(YAML_NUMBER)) return "number";
  if (stream.match(YAML_WORD)) return "bool";
  if (stream.match(state.flow ? /^[^\s,[\]{}:#][^,[\]{}:#]*?(?=\s*:(?:\s|$))/ : /^[^\s#].*?(?=\s*:(?:\s|$))/)) return "propertyName";
  stream.match(state.flow ? /^[^,[\]{}#]+/ : /^(?:[^\s#]|\s(?!\s*#)|(?<=\S)#)+/) || stream.next();
  return "string";
}

export const yamlMode: StreamParser<YamlState> = {
  name: "yaml",
  startState: () => ({ block: -1, indent: 0, flow: 0 }),
  token: yamlToken,
  languageData: { commentTokens: { line: "#" }, closeBrackets: { brackets: ["[", "{", '"', "'"] } },
};

interface TomlState {
  text: '"""' | "'''" | undefined;
  isValue: boolean;
  depth: number;
}

function tomlToken(stream: StringStream, state: TomlState): string | null {
  if (state.text) {
    const end = stream.string.indexOf(state.text, stream.pos);
    if (end < 0) stream.skipToEnd();
    else {
      stream.pos = end + 3;
      state.text = undefined;
    }
    return "string";
  }
  if (stream.sol() && !state.depth) state.isValue = false;
  if (stream.eatSpace()) return null;
  if (stream.peek() === "#") {
    stream.skipToEnd();
    return "comment";
  }
  if (!state.isValue) {
    if (stream.sol() || !/\S/.test(stream.string.slice(0, stream.pos))) if (stream.match(/^\[\[?[^\]]*\]\]?/)) return "typeName";
    if (stream.match(/^=/)) {
      state.isValue = true;
      return "punctuation";
    }
    if (stream.match(/^[A-Za-z0-9_-]+/) || stream.match(/^"(?:[^"\\]|\\.)*"?/) || stream.match(/^'[^']*'?/)) return "propertyName";
    stream.next();
    return "punctuation";
  }
  for (const quote of ['"""', "'''"] as const) {
    if (stream.match(quote)) {
      state.text = quote;
      return "string";
    }
  }
  if (stream.match(/^"(?:[^"\\]|\\.)*"?/) || stream.match(/^'[^']*'?/)) return stream.match(/^\s*=/, false) ? "propertyName" : "string";
  if (stream.match(/^(?:true|false)\b/)) return "bool";
  if (stream.match(/^[A-Za-z0-9_-]+(?=\s*=)/)) return "propertyName";
  if (stream.match(/^[-+]?(?:0[xob][0-9A-Fa-f_]+|\d[\d_.:TZtz+-]*(?:[eE][+-]?\d+)?|inf|nan)/)) return "number";
  const char = stream.next();
  if (char === "[" || char === "{") state.depth++;
  if (char === "]" || char === "}") state.depth = Math.max(0, state.depth - 1);
  return "bracket";
}

export const tomlMode: StreamParser<TomlState> = {
  name: "toml",
  startState: () => ({ text: undefined, isValue: false, depth: 0 }),
  token: tomlToken,
  languageData: { commentTokens: { line: "#" }, closeBrackets: { brackets: ["[", "{", '"', "'"] } },
};

function jsonToken(stream: StringStream): string | null {
  if (stream.eatSpace()) return null;
  if (stream.match(/^"(?:[^"\\]|\\.)*"?/)) return stream.match(/^\s*:/, false) ? "propertyName" : "string";
  if (stream.match(/^-?\d[\d.eE+-]*/)) return "number";
  if (stream.match(/^(?:true|false|null)\b/)) return "bool";
  stream.next();
  return "bracket";
}

export const jsonMode: StreamParser<Record<string, never>> = {
  name: "json",
  startState: () => ({}),
  token: jsonToken,
  languageData: { closeBrackets: { brackets: ["[", "{", '"'] } },
};
