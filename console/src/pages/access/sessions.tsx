// Sessions of people who have logged in with a browser, and the end of one. Knows the calls of AuthService for sessions.
import { useState } from "preact/hooks";
import { request, urlOf } from "../../api/client";
import { me } from "../../api/session";
import { place, setQuery } from "../../router";
import { Badge } from "../../ui/badge";
import { Button } from "../../ui/button";
import { Segmented } from "../../ui/field";
import { Time } from "../../ui/time";
import { ActionDialog } from "../parts/forms";
import { ListEnd, ListState } from "../parts/list";
import { usePages } from "../parts/paged";

/** As AuthService.ListSessions has it. */
interface Session {
  id: string;
  actor: string;
  origin: string;
  create_time?: string;
  last_use_time?: string;
  expire_time?: string;
  address: string;
  client: string;
  is_current: boolean;
}

async function listSessions(all: boolean, token: string, signal: AbortSignal): Promise<{ sessions: Session[]; next_page_token: string }> {
  const response = await request("GET", urlOf("/v1/sessions", {}, { all, page_size: 100, page_token: token }), { signal });
  return (await response.json()) as { sessions: Session[]; next_page_token: string };
}

/** Whether the caller came by a session, so that there are sessions to show. */
export function hasSession(): boolean {
  return me.value?.credential.startsWith("session:") ?? false;
}

export function Sessions() {
  const isAll = place.value.query.get("whose") === "all";
  const [ending, setEnding] = useState<Session>();
  const list = usePages(`sessions ${isAll}`, async (token, signal) => {
    const answer = await listSessions(isAll, token, signal);
    return { items: answer.sessions, next: answer.next_page_token };
  });
  return (
    <section class="panel" aria-label="Sessions">
      <header>
        <h2 class="grow">Sessions of browsers</h2>
        <Segmented
          label="Whose sessions"
          value={isAll ? "all" : "own"}
          options={[{ value: "own", label: "Yours" }, { value: "all", label: "Everybody's" }]}
          onValue={(value) => setQuery({ whose: value === "all" ? value : undefined })}
        />
      </header>
      <div class="body stack">
        <ListState list={list} shown={list.items.length} more={list.more} icon="user" empty="No sessions">
          <p>{isAll ? "Nobody is logged in with a browser." : `${me.value?.actor ?? "You"} has no session: this page was opened with another credential.`}</p>
        </ListState>
        {list.items.length > 0 && (
          <div class="scroll-x" tabIndex={0} role="region" aria-label="Sessions, the newest first">
            <table class="table cards">
              <thead>
                <tr>
                  <th scope="col">Who</th><th scope="col">Browser</th><th scope="col">Address</th><th scope="col">Logged in</th><th scope="col">Last use</th><th scope="col">Ends</th>
                  <th scope="col"><span class="visually-hidden">Actions</span></th>
                </tr>
              </thead>
              <tbody>
                {list.items.map((session) => (
                  <tr key={session.id}>
                    <td data-label="Who" class="break">
                      {session.actor} {session.is_current && <Badge tone="good">this one</Badge>}
                      <p class="faint small">by {session.origin}</p>
                    </td>
                    <td data-label="Browser" class="break small">{session.client || <span class="faint">unknown</span>}</td>
                    <td data-label="Address">{session.address}</td>
                    <td data-label="Logged in"><Time at={session.create_time} /></td>
                    <td data-label="Last use"><Time at={session.last_use_time} /></td>
                    <td data-label="Ends"><Time at={session.expire_time} /></td>
                    <td><Button small kind="quiet" icon="trash" aria-label={`End the session ${session.id} of ${session.actor}`} onClick={() => setEnding(session)}>End</Button></td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
        <ListEnd list={list} noun="sessions" />
      </div>
      {ending !== undefined && (
        <ActionDialog
          title={`End the session of ${ending.actor}?`}
          verb="End the session"
          danger
          action={(reason) => request("POST", "/v1/sessions:revoke", { body: { id: ending.id, reason } })}
          done={`The session ${ending.id} of ${ending.actor} has ended.`}
          onClose={(done) => {
            setEnding(undefined);
            if (done) list.reload();
          }}
        >
          <p>
            {ending.is_current
              ? "This is the session of this page: you are signed out at once, and have to log in again."
              : "Calls of this browser fail at once, and its open pages end. The person can log in again, as long as their token or account is good."}
          </p>
        </ActionDialog>
      )}
    </section>
  );
}
