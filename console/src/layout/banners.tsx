// Banners: the connection to the server, and production.
import { liveError, liveState, retryNow } from "../api/live";
import { textOf } from "../api/problem";
import { scope } from "../router";
import { isProduction } from "../ui/badge";
import { Button } from "../ui/button";
import { Icon } from "../ui/icons";

export function Banners() {
  const state = liveState.value;
  return (
    <section class="banners" aria-label="State of the console">
      {isProduction(scope.value) && (
        <p class="banner production">
          <strong>PRODUCTION</strong>
          <span>
            You look at <code>{scope.value}</code>.<span class="more"> Changes here reach services that customers use.</span>
          </span>
        </p>
      )}
      <div role="status">
        {state === "lost" && (
          <p class="banner warn">
            <Icon name="unplug" />
            <span class="grow">Connection lost. What you see may be out of date; it is tried again all the time.</span>
            <Button small onClick={retryNow}>
              Try now
            </Button>
          </p>
        )}
        {state === "refused" && (
          <p class="banner warn">
            <Icon name="alert" />
            <span class="grow">No live changes: {textOf(liveError.value)}</span>
          </p>
        )}
      </div>
    </section>
  );
}
