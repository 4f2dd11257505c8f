// Tags of a config and of a namespace: names for versions and revisions. Knows the calls that set and remove them.
import { useState } from "preact/hooks";
import { post, requestId } from "../../api/client";
import { TextField } from "../../ui/field";
import { readDocument } from "../parts/document";
import { ActionDialog } from "../parts/forms";

interface Place {
  namespace: string;
  /** "": the namespace itself. */
  config: string;
}

/** The tags of a namespace, by name, with the revisions that they name. Takes `read` on all of the namespace. */
export async function namespaceTags(namespace: string, signal: AbortSignal): Promise<[string, number][]> {
  const document = await readDocument({ namespace, config: "namespace:tags" }, signal);
  const tags = JSON.parse(document?.content ?? "{}") as Record<string, number>;
  return Object.entries(tags).sort(([one], [other]) => (one < other ? -1 : 1));
}

interface SetProps extends Place {
  /** The version to name; of a namespace the revision, 0 for the newest. */
  at: number;
  onClose: (written: boolean) => void;
}

/** Asks for the name of a tag, and sets it. */
export function TagDialog({ namespace, config, at, onClose }: SetProps) {
  const [tag, setTag] = useState("");
  const isNamespace = config === "";
  const what = isNamespace ? `the state of all configs of ${namespace} ${at === 0 ? "now" : `at revision ${at}`}` : `version ${at} of ${config}`;
  const action = (reason: string) => post("/v1/namespaces/{namespace}/tags:set", {
    path: { namespace },
    body: { config, tag: tag.trim(), ...(isNamespace ? { revision: at } : { version: at }), options: { reason, request_id: requestId() } },
  });
  return (
    <ActionDialog title={isNamespace ? `Tag ${namespace}` : `Tag version ${at}`} verb="Set the tag" action={action} onClose={onClose}>
      <p>A tag names {what}, for reads, comparisons and ways back. A tag that exists moves here. Retention keeps versions that have a tag.</p>
      <TextField label="Tag" required hint="Lower case letters, digits, dots and dashes: release-42" value={tag} onValue={setTag} />
    </ActionDialog>
  );
}

/** Asks before a tag is removed. */
export function UntagDialog({ namespace, config, tag, onClose }: Place & { tag: string; onClose: (written: boolean) => void }) {
  const action = (reason: string) => post("/v1/namespaces/{namespace}/tags:delete", {
    path: { namespace },
    body: { config, tag, options: { reason, request_id: requestId() } },
  });
  return (
    <ActionDialog title={`Remove the tag ${tag}?`} verb="Remove the tag" danger action={action} done={`The tag ${tag} is removed.`} onClose={onClose}>
      <p>
        {config === "" ? `The tag is removed from ${namespace} and from each of its configs. ` : `The tag is removed from ${config}. `}
        Reads, comparisons and ways back that name it fail from then on, and retention may remove what it named.
      </p>
    </ActionDialog>
  );
}
