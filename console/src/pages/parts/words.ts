// Words for numbers, names and times. Knows no page.

/** "1 watcher", "2 watchers", "1,234 watchers". */
export function count(number: number | undefined, noun: string): string {
  const value = Number(number ?? 0);
  return `${value.toLocaleString("en")} ${noun}${value === 1 ? "" : "s"}`;
}

/** "1.5 MiB". */
export function bytes(number: number | undefined): string {
  let value = Number(number ?? 0);
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** "AUDIT_KIND_ACCESS_CHANGED" without its prefix: "access changed". */
export function word(name: string | undefined, prefix: string): string {
  return (name ?? "").replace(prefix, "").toLowerCase().replaceAll("_", " ");
}

/** The first eight digits of a digest. */
export function short(digest: string | undefined): string {
  return (digest ?? "").replace("sha256:", "").slice(0, 8);
}

/** A time of RFC 3339 as a field `datetime-local` has it, by the clock of the reader. "": no time. */
export function toLocal(timestamp: string): string {
  const time = new Date(timestamp);
  if (timestamp === "" || Number.isNaN(time.getTime())) return "";
  return new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

/** The value of a field `datetime-local` as RFC 3339. "": no time. */
export function toTimestamp(local: string): string {
  const time = new Date(local);
  return local === "" || Number.isNaN(time.getTime()) ? "" : time.toISOString();
}
