/** Code that is read when it is needed first. */
import { useEffect, useState } from "preact/hooks";
import { toastError } from "../ui/toast";

/** `load` gives a part of the console once `isWanted`. `undefined`: it is on the way. */
export function useLater<T extends object>(isWanted: boolean, load: () => Promise<T>): T | undefined {
  const [part, setPart] = useState<{ of: T }>();
  useEffect(() => {
    if (!isWanted || part) return;
    load().then(
      (of) => setPart({ of }),
      () => toastError(new Error("A part of the console could not be read: the server is away, or has another version since. Copy your text, and reload the page.")),
    );
  }, [isWanted]);
  return part?.of;
}
