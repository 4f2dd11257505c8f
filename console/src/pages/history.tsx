// The tab "History" of a config: the page of the config reads it when it is opened.

export function HistoryTab({ namespace, config }: { namespace: string; config: string; scope: string }) {
  return (
    <h2>
      History of {namespace}/{config}
    </h2>
  );
}
