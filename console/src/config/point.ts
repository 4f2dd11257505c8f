/** A point in time of a config, as it stands in the address: `v7`, `r42`, `stable`, `2026-11-29T13:42:42Z`, or nothing for now. */
import type { Schemas } from "../api/client";

export type PointKind = "now" | "version" | "revision" | "tag" | "time";

export interface PointInTime {
  kind: PointKind;
  value: string;
}

export function pointOf(text: string): PointInTime {
  if (!text || text === "previous") return { kind: "now", value: "" };
  const number = /^([vr])(\d+)$/.exec(text);
  if (number) return { kind: number[1] === "v" ? "version" : "revision", value: number[2] as string };
  if (text.startsWith("tag:")) return { kind: "tag", value: text.slice("tag:".length) };
  if (/^\d{4}-\d{2}-\d{2}T/.test(text)) return { kind: "time", value: text };
  return { kind: "tag", value: text };
}

export function pointText({ kind, value }: PointInTime): string {
  switch (kind) {
    case "now":
      return "";
    case "version":
      return `v${value}`;
    case "revision":
      return `r${value}`;
    case "tag":
      return `tag:${value}`;
    case "time":
      return value;
  }
}

/** The value of a field for times, which is of the clock of the reader, as an instant that every reader of the address understands alike. */
export function instantOf(local: string): string {
  const time = new Date(local);
  return Number.isNaN(time.getTime()) ? local : time.toISOString();
}

/** An instant as a field for times has it. */
export function localTime(instant: string): string {
  const time = new Date(instant);
  if (Number.isNaN(time.getTime())) return "";
  return new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

/** The field of a request. */
export function pointFields({ kind, value }: PointInTime): Partial<Pick<Schemas["GetRequest"], "version" | "revision" | "tag" | "time">> {
  switch (kind) {
    case "now":
      return {};
    case "version":
      return { version: Number(value) };
    case "revision":
      return { revision: Number(value) };
    case "tag":
      return { tag: value };
    case "time": {
      const time = new Date(value);
      return Number.isNaN(time.getTime()) ? { tag: value } : { time: time.toISOString() };
    }
  }
}
