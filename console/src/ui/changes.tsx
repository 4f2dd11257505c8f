// Differences of values, as Diff, ListChanges and others have them.
import type { Schemas } from "../api/client";

/** `/db/port` as `db.port`, as people write it. A name with a dot keeps the pointer. */
export function pathOf(pointer: string): string {
  if (!pointer) return "(all)";
  const names = pointer.slice(1).split("/").map((name) => name.replace(/~1/g, "/").replace(/~0/g, "~"));
  return names.some((name) => name.includes(".") || name.includes("/")) ? pointer : names.join(".");
}

/** A list of differences: the place, the old value and the new one. */
export function ValueChanges({ changes, more }: { changes: readonly Schemas["ValueChange"][]; more?: boolean }) {
  return (
    <ul class="changes">
      {changes.map((change) => (
        <li key={change.pointer}>
          <span title={change.pointer}>{pathOf(change.pointer)}</span>
          <span>
            {change.old_value && <del>{change.old_value}</del>} {change.old_value && change.new_value && <span class="faint">→</span>} {change.new_value && <ins>{change.new_value}</ins>}
          </span>
        </li>
      ))}
      {more && <li class="faint">There are more differences.</li>}
    </ul>
  );
}

const SOURCES: Record<Schemas["CommitSource"], string> = {
  COMMIT_SOURCE_UNSPECIFIED: "changed",
  COMMIT_SOURCE_SET: "set",
  COMMIT_SOURCE_APPLY: "applied",
  COMMIT_SOURCE_DELETE: "deleted",
  COMMIT_SOURCE_ROLLBACK: "rolled back",
  COMMIT_SOURCE_EXPIRY: "override expired",
  COMMIT_SOURCE_TAG: "tagged",
  COMMIT_SOURCE_SCHEMA: "changed a schema",
  COMMIT_SOURCE_MIGRATION: "migrated",
  COMMIT_SOURCE_REVERT: "reverted",
  COMMIT_SOURCE_RESTORE: "restored",
};

/** The kind of a write in a word. */
export function sourceName(source: Schemas["CommitSource"]): string {
  return SOURCES[source] ?? "changed";
}

/** `user:alice` as `alice`: the kind is told by the tooltip. */
export function Actor({ name }: { name: string }) {
  return <span title={name}>{name.replace(/^user:/, "") || "unknown"}</span>;
}
