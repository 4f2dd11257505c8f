// The versions of a config, newest first, with what can be done with each. Knows versions; never how a preview is computed.
import { useState } from "preact/hooks";
import { get, type Schemas } from "../../api/client";
import { revisionOf } from "../../api/live";
import { Badge } from "../../ui/badge";
import { Button, IconButton } from "../../ui/button";
import { Note } from "../../ui/states";
import { exactTime } from "../../ui/time";
import { ListEnd, ListState } from "../parts/list";
import { usePages } from "../parts/paged";
import { PreviewedWrite } from "../parts/preview";
import { CommitEntry } from "./commit";
import { TagDialog, UntagDialog } from "./tags";
import { revert, revertOutlook, rollBack, rollbackOutlook } from "./writes";

type Action = { kind: "rollback" | "tag"; version: number } | { kind: "revert"; revision: number } | { kind: "untag"; tag: string };

interface Props {
  namespace: string;
  config: string;
  /** Only versions that changed layers of this scope. "": all. */
  scope: string;
}

export function ConfigHistory({ namespace, config, scope }: Props) {
  const [action, setAction] = useState<Action>();
  const [oldest, setOldest] = useState<Schemas["ListVersionsResponse"]>();
  const at = { namespace, config };
  const list = usePages(
    `versions ${namespace}/${config}@${scope}`,
    async (token, signal) => {
      const answer = await get("/v1/namespaces/{namespace}/configs/{config}/versions", {
        path: at,
        query: { page_size: 50, page_token: token, ...(scope === "" ? {} : { scope }) },
        signal,
      });
      setOldest(answer);
      return { items: answer.versions, next: answer.next_page_token };
    },
    revisionOf(namespace, config).value,
  );
  const current = scope === "" ? list.items[0]?.version : undefined;
  const close = (written: boolean) => {
    setAction(undefined);
    if (written) list.reload();
  };
  return (
    <>
      <ListState list={list} shown={list.items.length} more={list.more} icon="history" empty={scope === "" ? "No history" : `No version changed the layer at ${scope}`}>
        <p>{scope === "" ? "Nothing of this config that you may read was ever written." : "Other scopes may have versions."}</p>
      </ListState>
      {list.items.length > 0 && (
        <ol class="panel commits" aria-label={`Versions of ${config}, the newest first`}>
          {list.items.map(({ version, commit, tags, tags_omitted }) => commit !== undefined && (
            <CommitEntry
              key={version}
              commit={commit}
              only={at}
              within={namespace}
              lead={
                <>
                  <strong>Version {version}</strong>
                  {version === current && <Badge tone="good">current</Badge>}
                  {tags.map((tag) => (
                    <span key={tag} class="row tag">
                      <Badge icon="tag" tone="accent">{tag}</Badge>
                      <IconButton small icon="close" label={`Remove the tag ${tag}`} onClick={() => setAction({ kind: "untag", tag })} />
                    </span>
                  ))}
                  {tags_omitted > 0 && <span class="soft">and {tags_omitted} more tags</span>}
                </>
              }
              actions={
                <>
                  <Button small kind="quiet" icon="tag" aria-label={`Tag version ${version}`} onClick={() => setAction({ kind: "tag", version })}>Tag</Button>
                  <Button small kind="quiet" icon="undo" aria-label={`Revert version ${version}`} onClick={() => setAction({ kind: "revert", revision: commit.revision })}>Revert</Button>
                  {scope === "" && version !== current && (
                    <Button small icon="history" aria-label={`Roll back to version ${version}`} onClick={() => setAction({ kind: "rollback", version })}>Roll back</Button>
                  )}
                </>
              }
            />
          ))}
        </ol>
      )}
      <ListEnd list={list} noun="versions" />
      {!list.more && !list.loading && oldest !== undefined && oldest.oldest_revision > 0 && (
        <Compacted revision={oldest.oldest_revision} time={oldest.oldest_revision_time} />
      )}
      {action?.kind === "rollback" && (
        <PreviewedWrite
          title={`Roll ${config} back to version ${action.version}`}
          verb="Roll back"
          preview={(signal) => rollbackOutlook(at, action.version, signal)}
          write={(outlook, reason, id) => rollBack(at, action.version, outlook, reason, id)}
          onClose={close}
        />
      )}
      {action?.kind === "revert" && <RevertDialog revision={action.revision} onClose={close} />}
      {action?.kind === "tag" && <TagDialog {...at} at={action.version} onClose={close} />}
      {action?.kind === "untag" && <UntagDialog {...at} tag={action.tag} onClose={close} />}
    </>
  );
}

export function RevertDialog({ revision, onClose }: { revision: number; onClose: (written: boolean) => void }) {
  return (
    <PreviewedWrite
      title={`Revert revision ${revision}`}
      verb="Revert"
      preview={(signal) => revertOutlook([revision], signal)}
      write={(_, reason, id) => revert([revision], reason, id)}
      onClose={onClose}
    />
  );
}

/** Says what retention has removed. */
export function Compacted({ revision, time }: { revision: number; time?: string | undefined }) {
  return (
    <Note icon="history">
      History before revision {revision}{time === undefined ? "" : ` (${exactTime(time)})`} was removed by retention. Versions that have a tag are kept: read or restore them by the tag.
    </Note>
  );
}
