// Times: how long ago, with the exact time as a tooltip.
import { signal } from "@preact/signals";

/** Ticks each half minute, so that all times on the page move on. */
const now = signal(Date.now());
setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 30_000);

const relative = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "narrow" });
const exact = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

export function timeAgo(time: string, at: number = now.value): string {
  const seconds = (at - Date.parse(time)) / 1000;
  const distance = Math.abs(seconds);
  if (distance < 45) return "just now";
  const [count, unit] = distance < 3600 ? [seconds / 60, "minute" as const] : distance < 86_400 ? [seconds / 3600, "hour" as const] : [seconds / 86_400, "day" as const];
  if (Math.abs(count) > 30 && unit === "day") return day.format(Date.parse(time));
  return relative.format(-Math.round(count), unit);
}

/** The time as the clock of the reader has it. */
export function exactTime(time: string): string {
  return exact.format(Date.parse(time));
}

export function Time({ at }: { at: string | undefined }) {
  if (!at) return null;
  return (
    <time dateTime={at} title={exactTime(at)} class="nowrap">
      {timeAgo(at)}
    </time>
  );
}
