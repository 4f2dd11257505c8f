// An error of a write, with the findings and the conflicts that explain it.
import { useEffect, useRef } from "preact/hooks";
import { CallError } from "../../api/problem";
import { ErrorNote } from "../../ui/states";
import { Conflicts, Findings } from "./differences";

export function Refusal({ error, retry }: { error: unknown; retry?: () => void }) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => box.current?.scrollIntoView({ block: "nearest" }), [error]);
  const problem = error instanceof CallError ? error.problem : undefined;
  const conflicts = problem?.conflicts ?? [];
  return (
    <div ref={box} class="stack">
      <ErrorNote error={error} retry={retry} />
      {problem !== undefined && <Findings findings={problem.findings ?? []} omitted={problem.findings_omitted} />}
      {problem?.violations?.map((violation) => <p key={violation.field} class="small"><code>{violation.field}</code>: {violation.description}</p>)}
      {conflicts.length > 0 && (
        <>
          <p>Later commits have changed these values. Take those commits back as well, or write the values that you want.</p>
          <Conflicts conflicts={conflicts} omitted={problem?.conflicts_omitted} />
        </>
      )}
    </div>
  );
}
