// The page of a config.
import { route } from "../router";

export function ConfigPage() {
  const at = route.value;
  if (at.page !== "config") return null;
  return (
    <div class="page">
      <h1>
        {at.namespace}/{at.config}
      </h1>
    </div>
  );
}
