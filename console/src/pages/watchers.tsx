// The tab "Watchers" of a config: the page of the config reads it when it is opened.

export function WatchersTab({ namespace, config }: { namespace: string; config: string; scope: string }) {
  return (
    <h2>
      Watchers of {namespace}/{config}
    </h2>
  );
}
