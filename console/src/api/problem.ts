// Errors of calls: a problem of the server, or no answer at all.
import type { components } from "./schema";

export type Problem = components["schemas"]["Problem"];

/** A call that the server refused, or that got no answer (`status` 0). */
export class CallError extends Error {
  readonly status: number;
  readonly reason: string;
  readonly problem: Problem | undefined;

  constructor(status: number, reason: string, message: string, problem?: Problem) {
    super(message);
    this.name = "CallError";
    this.status = status;
    this.reason = reason;
    this.problem = problem;
  }

  /** No answer: the server is away, or the network is. */
  get isOffline(): boolean {
    return this.status === 0;
  }

  get isDenied(): boolean {
    return this.status === 403;
  }

  /** The content changed since it was read: `expected_version` or a revision is stale. */
  get isConflict(): boolean {
    return this.reason === "VERSION_MISMATCH" || this.reason === "REVISION_MISMATCH";
  }
}

/** Makes the error of a response that is not good. */
export async function errorOf(response: Response): Promise<CallError> {
  const text = await response.text().catch(() => "");
  try {
    const problem = JSON.parse(text) as Problem;
    return new CallError(response.status, problem.reason ?? "", sentence(problem.detail || problem.title), problem);
  } catch {
    return new CallError(response.status, "", `The server answered with status ${response.status}.`);
  }
}

/** An error as a sentence for people. */
export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Whether a call was ended by its own page. */
export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

function sentence(text: string): string {
  // A name such as "user:alice" stays as it is.
  const whole = /^\S*[:/@]/.test(text) ? text : text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}
