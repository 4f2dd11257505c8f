// A list of any length, of which only what is visible is in the page.
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

interface Props<T> {
  items: readonly T[];
  /** Pixels of each row, all alike. */
  rowHeight: number;
  keyOf: (item: T) => string;
  row: (item: T, index: number) => ComponentChildren;
  label: string;
  /** The row that must be visible, as one chosen by the keyboard. */
  active?: number;
  class?: string;
}

const OVERSCAN = 8;

export function VirtualList<T>({ items, rowHeight, keyOf, row, label, active, class: more }: Props<T>) {
  const element = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 800 });
  useEffect(() => {
    const list = element.current;
    if (!list) return;
    const measure = () => setView({ top: list.scrollTop, height: list.clientHeight });
    const observer = new ResizeObserver(measure);
    observer.observe(list);
    list.addEventListener("scroll", measure, { passive: true });
    measure();
    return () => {
      observer.disconnect();
      list.removeEventListener("scroll", measure);
    };
  }, []);
  useLayoutEffect(() => {
    const list = element.current;
    if (!list || active === undefined || active < 0) return;
    const top = active * rowHeight;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + rowHeight > list.scrollTop + list.clientHeight) list.scrollTop = top + rowHeight - list.clientHeight;
  }, [active, rowHeight]);
  const from = Math.max(0, Math.floor(view.top / rowHeight) - OVERSCAN);
  const to = Math.min(items.length, Math.ceil((view.top + view.height) / rowHeight) + OVERSCAN);
  return (
    <div ref={element} class={`virtual ${more ?? ""}`} role="list" aria-label={label} tabIndex={0}>
      <div class="space" role="presentation" style={{ height: `${items.length * rowHeight}px` }}>
        {items.slice(from, to).map((item, at) => (
          <div key={keyOf(item)} role="listitem" aria-setsize={items.length} aria-posinset={from + at + 1} style={{ height: `${rowHeight}px`, transform: `translateY(${(from + at) * rowHeight}px)` }}>
            {row(item, from + at)}
          </div>
        ))}
      </div>
    </div>
  );
}
