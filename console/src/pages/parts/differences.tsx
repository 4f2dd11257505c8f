// Findings of validation, conflicts, and how far a write reaches. Knows messages of the API; never asks for them.
import type { Schemas } from "../../api/client";
import { configHref } from "../../router";
import { Badge, ScopeBadge, type Tone } from "../../ui/badge";
import { pathOf } from "../../ui/changes";
import { count } from "./words";

const SEVERITIES: Record<Schemas["Severity"], readonly [string, Tone | undefined]> = {
  SEVERITY_UNSPECIFIED: ["finding", undefined],
  SEVERITY_ERROR: ["error", "bad"],
  SEVERITY_WARNING: ["warning", "warn"],
  SEVERITY_SUGGESTION: ["suggestion", "accent"],
};

/** Findings of validation. */
export function Findings({ findings, omitted = 0 }: { findings: readonly Schemas["Finding"][]; omitted?: number | undefined }) {
  if (findings.length === 0) return null;
  return (
    <ul class="findings" aria-label="Findings">
      {findings.map((finding, at) => {
        const [severity, tone] = SEVERITIES[finding.severity] ?? SEVERITIES.SEVERITY_UNSPECIFIED;
        return (
          <li key={at} class="break">
            <p><Badge tone={tone}>{severity}</Badge> {finding.message}{finding.suggestion !== "" && <span class="soft"> ({finding.suggestion})</span>}</p>
            <p class="soft small">
              <code>{finding.code}</code>{finding.config !== "" && <> at {finding.namespace}/{finding.config} {finding.scope}</>}
              {finding.pointer !== "" && <> <code title={finding.pointer}>{pathOf(finding.pointer)}</code></>}
            </p>
          </li>
        );
      })}
      {omitted > 0 && <li class="soft">{count(omitted, "more finding")} not shown.</li>}
    </ul>
  );
}

/** Scopes whose documents change, with their watchers. */
export function Affected({ targets, omitted = 0 }: { targets: readonly Schemas["AffectedTarget"][]; omitted?: number | undefined }) {
  if (targets.length === 0) return null;
  return (
    <div class="scroll-x affected" tabIndex={0} role="region" aria-label="Scopes whose documents change">
      <table class="table">
        <thead>
          <tr><th scope="col">Config</th><th scope="col">Scope</th><th scope="col" class="number">Watchers</th></tr>
        </thead>
        <tbody>
          {targets.map((target) => (
            <tr key={`${target.namespace}/${target.config}${target.scope}`}>
              <td><a href={configHref(target.namespace, target.config, "watchers", { scope: target.scope })}>{target.namespace}/{target.config}</a></td>
              <td><ScopeBadge scope={target.scope} /></td>
              <td class="number">{target.watchers}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {omitted > 0 && <p class="soft">{count(omitted, "more scope")} not shown.</p>}
    </div>
  );
}

/** One sentence about how far a write reaches. */
export function Reaches({ reach }: { reach: Schemas["Reach"] | undefined }) {
  if (reach === undefined || reach === null) return null;
  if (reach.unknown) return <p>This write reaches more scopes than the server counts in one call.</p>;
  if (reach.scopes === 0) return <p>No document that you may read changes.</p>;
  return (
    <p>
      Changes the documents of <strong>{count(reach.scopes, "scope")}</strong> in {count(reach.configs, "config")}, followed by{" "}
      <strong>{count(reach.watchers, "watcher")}</strong>.
    </p>
  );
}

/** Values that later commits have changed, with both values. */
export function Conflicts({ conflicts, omitted = 0 }: { conflicts: readonly Schemas["RevertConflict"][]; omitted?: number | undefined }) {
  return (
    <div class="scroll-x" tabIndex={0} role="region" aria-label="Conflicts">
      <table class="table conflicts">
        <thead>
          <tr><th scope="col">Place</th><th scope="col">Value now</th><th scope="col">Value before the commit</th></tr>
        </thead>
        <tbody>
          {conflicts.map((conflict, at) => (
            <tr key={at}>
              <td class="break">
                <code title={conflict.pointer}>{conflict.pointer === "" ? "the whole layer" : pathOf(conflict.pointer)}</code>
                {conflict.expiry && " (end of the override)"}
                <p class="soft small">{conflict.namespace}/{conflict.config} <ScopeBadge scope={conflict.scope} override={conflict.kind === "LAYER_KIND_OVERRIDE"} /></p>
              </td>
              <td class="break">{conflict.current_value === "" ? <span class="soft">none</span> : <code>{conflict.current_value}</code>}</td>
              <td class="break">
                {conflict.restored_value === "" ? <span class="soft">none</span> : <code>{conflict.restored_value}</code>}
                <p class="soft small">before revision {conflict.revision}</p>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {omitted > 0 && <p class="soft">{count(omitted, "more conflict")} not shown.</p>}
    </div>
  );
}
