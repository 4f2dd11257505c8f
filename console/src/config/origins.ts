/** The origin of each value, from the layers themselves: what Explain says, for documents whose origins do not fit one message. Pure. */
import type { LayerRef, Schemas } from "../api/client";
import { isObject, isSecretMark, pointerOf, toJson, type Value } from "../editor/value";

type Origin = Schemas["ValueOrigin"];

/** What layers say of one value, the deciding one first; or the members of an object. */
type Node = { said: { layer: LayerRef; text: string | undefined }[] } | { members: Map<string, Node>; last: LayerRef };

export function originsOf(layers: readonly { layer: LayerRef; value: Value }[]): Origin[] {
  let root: Node = { members: new Map(), last: layers[0]?.layer as LayerRef };
  for (const { layer, value } of layers) root = applied(root, layer, value);
  const origins: Origin[] = [];
  collect(root, [], origins);
  return origins.sort((a, b) => (a.pointer < b.pointer ? -1 : a.pointer > b.pointer ? 1 : 0));
}

function applied(node: Node | undefined, layer: LayerRef, value: Value): Node {
  if (isObject(value) && !isSecretMark(value)) {
    if (value.size === 0 && (!node || !("members" in node))) return { said: [{ layer, text: "{}" }, ...saidBefore(node)] };
    const members = new Map(node && "members" in node ? node.members : []);
    for (const [name, inner] of value) {
      const before = members.get(name);
      if (inner === null && before === undefined) continue;
      members.set(name, applied(before, layer, inner));
    }
    return { members, last: layer };
  }
  return { said: [{ layer, text: value === null ? undefined : toJson(value) }, ...saidBefore(node)] };
}

/** What later layers shadow: an object counts as one value. */
function saidBefore(node: Node | undefined): { layer: LayerRef; text: string | undefined }[] {
  if (!node) return [];
  if ("said" in node) return node.said;
  return [{ layer: node.last, text: textOf(node) }];
}

/** Members that are removed are not in the text. */
function textOf(node: Node): string | undefined {
  if ("said" in node) return node.said[0]?.text;
  const members = [...node.members].map(([name, inner]) => [name, textOf(inner)] as const).filter(([, text]) => text !== undefined);
  return `{${members.map(([name, text]) => `${JSON.stringify(name)}:${text}`).join(",")}}`;
}

function collect(node: Node, path: readonly string[], origins: Origin[]): void {
  if ("members" in node && (node.members.size > 0 || path.length === 0)) {
    for (const [name, inner] of node.members) collect(inner, [...path, name], origins);
    return;
  }
  const said = saidBefore(node);
  const [first, ...shadowed] = said;
  if (!first) return;
  origins.push({
    pointer: pointerOf(path),
    value: first.text ?? "",
    layer: first.layer,
    removed: first.text === undefined,
    shadowed: shadowed.map(({ layer, text }) => ({ layer, value: text ?? "", removed: text === undefined })),
  });
}
