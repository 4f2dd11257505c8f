// Signing in: by a token, or by the identity provider of the company. A token is sent once, and kept nowhere.
import { useEffect, useState } from "preact/hooks";
import { request } from "../api/client";
import { CallError, textOf } from "../api/problem";
import { refusal } from "../api/session";
import { navigate, place } from "../router";
import { Button, LinkButton } from "../ui/button";
import { TextField } from "../ui/field";
import { Icon } from "../ui/icons";
import { Note, Skeleton } from "../ui/states";

/** The server takes no longer one. */
const RETURN_TO_MAX = 1000;

/** What the server offers. */
interface Offer {
  /** `false`: the server asks nobody who they are. */
  authentication?: boolean;
  token?: boolean;
  /** The identity provider, if there is one. */
  oidc?: { name?: string } | null;
}

export function LoginPage() {
  const [offer, setOffer] = useState<Offer>();
  const [token, setToken] = useState("");
  const [error, setError] = useState<string>();
  const [isBusy, setBusy] = useState(false);
  const back = returnTo(place.value.query.get("return_to"));

  useEffect(() => {
    request("GET", "/login")
      .then((response) => response.json() as Promise<Offer>)
      .then(setOffer, (failure: unknown) => {
        if (failure instanceof CallError && failure.isOffline) setError(textOf(failure));
        // A server without sessions has no JSON there.
        setOffer(failure instanceof CallError && failure.isOffline ? { token: true } : { token: false });
      });
  }, []);

  const signIn = async (event: Event) => {
    event.preventDefault();
    if (!token.trim()) {
      setError("Type a token.");
      return;
    }
    setBusy(true);
    setError(undefined);
    try {
      await request("POST", "/login", { body: { token: token.trim() } });
      setToken("");
      refusal.value = undefined;
      await navigate(back, true);
    } catch (failure) {
      setError(textOf(failure));
      setBusy(false);
    }
  };

  const oidc = offer?.oidc;
  return (
    <main class="login">
      <div class="panel">
        <div class="body stack">
          <div class="row">
            <Icon name="layers" size={28} />
            <h1>Sign in to confwatch</h1>
          </div>
          {refusal.value && refusal.value.reason !== "NO_CREDENTIAL" && <Note tone="warn">{refusal.value.message}</Note>}
          {!offer ? (
            <Skeleton lines={3} />
          ) : offer.authentication === false ? (
            <>
              <p>This server does not ask who you are.</p>
              <LinkButton kind="primary" href={back}>
                Open the console
              </LinkButton>
            </>
          ) : (
            <>
              {oidc && (
                <LinkButton kind="primary" icon="user" href={`/login/oidc?return_to=${encodeURIComponent(back)}`}>
                  Sign in with {oidc.name ?? "your company account"}
                </LinkButton>
              )}
              {oidc && offer.token !== false && <p class="or">or</p>}
              {offer.token === false && !oidc && <Note tone="warn">This server signs nobody in here. Use the command line, or the API with a token.</Note>}
              {offer.token !== false && (
                <form class="stack" onSubmit={signIn} autocomplete="off">
                  <TextField secret mono label="Token" hint="An API token, which begins with cw_. It is not kept in this browser." value={token} onValue={setToken} error={error} autofocus />
                  <Button type="submit" kind={oidc ? undefined : "primary"} busy={isBusy}>
                    Sign in
                  </Button>
                </form>
              )}
            </>
          )}
        </div>
      </div>
    </main>
  );
}

/** Where to go after signing in: a place of the console alone. */
function returnTo(text: string | null): string {
  return text && text.length <= RETURN_TO_MAX && /^\/(?![/\\])/.test(text) ? text : "/";
}
