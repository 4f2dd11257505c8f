// The overrides of a config: those that hold at this scope, and those elsewhere, with the time until each ends.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get, type LayerRef, type Schemas } from "../api/client";
import { configHref } from "../router";
import { ScopeBadge } from "../ui/badge";
import { Button } from "../ui/button";
import { ValueChanges } from "../ui/changes";
import { useQuery } from "../ui/query";
import { Icon } from "../ui/icons";
import { exactTime } from "../ui/time";
import { remaining } from "./rows";

/** The time until an override ends, second by second. */
export function Countdown({ expires }: { expires: string | undefined }) {
  const now = useSignal(Date.now());
  useEffect(() => {
    if (!expires) return;
    const timer = setInterval(() => {
      if (!document.hidden) now.value = Date.now();
    }, 1000);
    return () => clearInterval(timer);
  }, [expires]);
  if (!expires) return <span class="soft nowrap">without an end</span>;
  const left = remaining(expires, now.value);
  return (
    <span class="nowrap countdown" title={`Until ${exactTime(expires)}`}>
      <Icon name="clock" size={14} /> {left ? `ends in ${left}` : "ends now"}
    </span>
  );
}

interface Props {
  namespace: string;
  config: string;
  layers: readonly LayerRef[];
  version: string;
  onEnd: (layer: { scope: string; version: number }) => void;
}

/** Overrides that hold at the scope. Nothing if there is none. */
export function Overrides({ namespace, config, layers, version, onEnd }: Props) {
  const here = layers.filter(({ kind }) => kind === "LAYER_KIND_OVERRIDE");
  const list = useQuery(
    `${namespace}/${config}`,
    (signal) => get("/v1/namespaces/{namespace}/overrides", { path: { namespace }, query: { config }, signal }),
    version,
  );
  const all = list.data?.overrides ?? [];
  const elsewhere = all.filter((each) => !here.some((layer) => layer.scope === each.scope));
  const details = new Map(all.map((each) => [each.scope, each]));
  if (!here.length && !elsewhere.length) return null;
  return (
    <section class="overrides" aria-label="Overrides">
      {here.map((layer) => (
        <Override key={layer.scope} layer={layer} details={details.get(layer.scope)} at={{ namespace, config }} onEnd={onEnd} />
      ))}
      {elsewhere.length > 0 && (
        <p class="soft small">
          Overrides at other scopes:{" "}
          {elsewhere.slice(0, 8).map((each) => (
            <a key={each.scope} href={configHref(namespace, config, "edit", { scope: each.scope })}>
              <ScopeBadge scope={each.scope} override />
            </a>
          ))}
          {elsewhere.length > 8 && ` and ${elsewhere.length - 8} more`}
        </p>
      )}
    </section>
  );
}

function Override({ layer, details, at, onEnd }: { layer: LayerRef; details: Schemas["ListedOverride"] | undefined; at: { namespace: string; config: string }; onEnd: Props["onEnd"] }) {
  return (
    <details class="override">
      <summary>
        <Icon name="alert" />
        <strong>Override</strong>
        <ScopeBadge scope={layer.scope} override />
        <Countdown expires={layer.expire_time} />
        {details?.actor && (
          <span class="soft small truncate">
            {details.actor}
            {details.reason && `: ${details.reason}`}
          </span>
        )}
      </summary>
      <div class="stack">
        {details ? <ValueChanges changes={details.changes} more={details.more} /> : <p class="soft">What it changes is not known.</p>}
        <div class="row wrap">
          <a class="button small" href={configHref(at.namespace, at.config, "edit", { scope: layer.scope, kind: "override", view: "text" })}>
            Edit
          </a>
          <Button small icon="trash" onClick={() => onEnd({ scope: layer.scope, version: layer.version })}>
            End it now
          </Button>
        </div>
      </div>
    </details>
  );
}
