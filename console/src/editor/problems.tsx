// The list of what is to be corrected, under the editor. Findings without a place in the text are here alone.
import { Badge, ScopeBadge } from "../ui/badge";
import { Button } from "../ui/button";
import type { Parsed, Range, TextChange } from "./tree";
import type { Problem } from "./validation";
import { dotted } from "./value";

interface Props {
  problems: readonly Problem[];
  omitted: number;
  scope: string;
  canReveal: boolean;
  onReveal: (range: Range) => void;
  onFix: (make: (parsed: Parsed) => TextChange[]) => void;
}

const TONES = { error: "bad", warning: "warn", info: "accent" } as const;
const WORDS = { error: "error", warning: "warning", info: "suggestion" };
const SHOWN_MAX = 100;

export function Problems({ problems, omitted, scope, canReveal, onReveal, onFix }: Props) {
  if (!problems.length) return null;
  return (
    <section class="problems" aria-label="Problems" tabIndex={0}>
      <ul>
        {problems.slice(0, SHOWN_MAX).map((problem, at) => (
          <li key={at}>
            <Badge tone={TONES[problem.severity]}>{WORDS[problem.severity]}</Badge>
            <span class="grow break">
              {problem.range && canReveal ? (
                <button type="button" class="reveal" onClick={() => onReveal(problem.range as Range)}>
                  {problem.pointer && <code>{dotted(problem.pointer)}</code>} {problem.message}
                </button>
              ) : (
                <>
                  {problem.pointer && <code>{dotted(problem.pointer)}</code>} {problem.message}
                </>
              )}
              {problem.suggestion && !problem.fix && <span class="soft"> ({problem.suggestion})</span>}
              {!problem.range && problem.code !== "SYNTAX" && <span class="soft"> – the value is not in this layer</span>}
            </span>
            {problem.scope !== scope && problem.scope && <ScopeBadge scope={problem.scope} />}
            {problem.fix && (
              <Button small onClick={() => problem.fix && onFix(problem.fix.changes)}>
                {problem.fix.label}
              </Button>
            )}
          </li>
        ))}
      </ul>
      {problems.length + omitted > SHOWN_MAX && <p class="soft small">{(problems.length + omitted - SHOWN_MAX).toLocaleString("en")} more are not shown.</p>}
    </section>
  );
}
