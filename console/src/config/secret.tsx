// A secret: dots until somebody asks for it. It is read by a call of its own, which the server records, and forgotten after half a minute or
// when the tab is hidden.
import { useEffect, useState } from "preact/hooks";
import { get } from "../api/client";
import { isAbort, textOf } from "../api/problem";
import { Button } from "../ui/button";
import { CopyButton } from "../ui/copy";

const SHOWN_MS = 30_000;

interface Props {
  namespace: string;
  config: string;
  scope: string;
  pointer: string;
}

export function Secret({ namespace, config, scope, pointer }: Props) {
  const [value, setValue] = useState<string>();
  const [why, setWhy] = useState("");
  const [busy, setBusy] = useState(false);
  const hide = () => setValue(undefined);
  useEffect(() => {
    hide();
    setWhy("");
  }, [namespace, config, scope, pointer]);
  useEffect(() => {
    if (value === undefined) return;
    const timer = setTimeout(hide, SHOWN_MS);
    const onVisibility = () => document.hidden && hide();
    document.addEventListener("visibilitychange", onVisibility);
    return () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onVisibility);
    };
  }, [value]);
  const reveal = async () => {
    setBusy(true);
    setWhy("");
    try {
      const { document } = await get("/v1/namespaces/{namespace}/configs/{config}/document", { path: { namespace, config }, query: { scope, pointer } });
      const isHidden = document?.hidden_pointers.some((each) => each === "" || each === pointer || each.startsWith(`${pointer}/`));
      if (!document || isHidden) setWhy("You need the permission reveal-secret at this scope.");
      else setValue(document.content);
    } catch (error) {
      if (!isAbort(error)) setWhy(textOf(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <div class="secret">
      {value === undefined ? (
        <>
          <span aria-label="A secret, hidden">••••••</span>
          <Button small icon="eye" busy={busy} onClick={reveal}>
            Reveal
          </Button>
        </>
      ) : (
        <>
          <code class="break" data-secret>
            {value}
          </code>
          <CopyButton text={() => value} label="Copy the secret" />
          <Button small onClick={hide}>
            Hide
          </Button>
        </>
      )}
      {why && (
        <p class="soft small" role="alert">
          {why}
        </p>
      )}
      {value !== undefined && <p class="soft small">Hidden again after 30 seconds.</p>}
    </div>
  );
}
