// What stands around a list: that it is loading, empty, refused or longer. Knows no item.
import type { ComponentChildren } from "preact";
import { Button } from "../../ui/button";
import type { IconName } from "../../ui/icons";
import { Empty, ErrorNote, Skeleton } from "../../ui/states";

interface ListLike {
  error: unknown;
  loading: boolean;
  reload: () => void;
}

interface StateProps {
  list: ListLike;
  /** How many items are shown. */
  shown: number;
  /** There may be more: an empty page is not yet an empty list. */
  more?: boolean;
  /** The title of an empty list. */
  empty: string;
  icon?: IconName;
  /** What an empty list means, and what to do. */
  children?: ComponentChildren;
}

/** A skeleton, an error, or the words for an empty list. Nothing where there are items. A denial is told as one, and never as an empty list. */
export function ListState({ list, shown, more = false, empty, icon, children }: StateProps) {
  if (list.error !== undefined) return <ErrorNote error={list.error} retry={list.reload} />;
  if (shown > 0) return null;
  if (list.loading) return <Skeleton lines={5} />;
  if (more) return null;
  return <Empty title={empty} {...(icon === undefined ? {} : { icon })}>{children}</Empty>;
}

/** The button for the next page of a list. */
export function ListEnd({ list, noun }: { list: { more: boolean; loading: boolean; items: readonly unknown[]; loadMore: () => void }; noun: string }) {
  if (!list.more) return null;
  return (
    <div class="list-end">
      {list.items.length === 0 && !list.loading && <p class="soft">No match so far. The server looks through the history piece by piece.</p>}
      <Button onClick={list.loadMore} busy={list.loading}>{list.items.length === 0 ? "Look further back" : `Show more ${noun}`}</Button>
    </div>
  );
}
