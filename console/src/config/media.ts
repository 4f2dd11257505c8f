/** Whether a media query holds, and from when on it does not. */
import { useEffect, useState } from "preact/hooks";

/** Tables have two lines for each value, and fewer columns. */
export const NARROW = "(max-width: 56rem)";

export function useMedia(media: string): boolean {
  const [matches, setMatches] = useState(() => matchMedia(media).matches);
  useEffect(() => {
    const list = matchMedia(media);
    const listener = () => setMatches(list.matches);
    list.addEventListener("change", listener);
    return () => list.removeEventListener("change", listener);
  }, [media]);
  return matches;
}
