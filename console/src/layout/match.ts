// Matches names by what is typed. Pure.

/**
 * How well a name fits: 0 not at all, from 1 on better and better. All words that are typed must be in the name; else its letters must be there in
 * their order, each at the start of a part or after the letter before.
 */
export function matcher(text: string): (name: string) => number {
  const typed = text.trim().toLowerCase();
  const words = typed.split(/[\s/]+/).filter(Boolean);
  if (!words.length) return () => 1;
  const joined = words.join("");
  return (name) => {
    const low = name.toLowerCase();
    if (low === typed) return 10;
    if (low.endsWith(`/${typed}`)) return 9;
    if (words.every((word) => low.includes(word))) {
      const last = words[words.length - 1]!;
      const isStart = new RegExp(`(^|[^a-z0-9])${last.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}`).test(low);
      return (isStart ? 6 : 4) - Math.min(1.5, low.length / 100);
    }
    return joined.length >= 2 && abbreviates(joined, low) ? 2 : 0;
  };
}

/** Whether letters are the starts of parts of a name, such as `cc` of `catalog/checkout-canary`. */
function abbreviates(letters: string, name: string): boolean {
  let at = 0;
  let follows = false;
  for (let place = 0; place < name.length && at < letters.length; place++) {
    const isStart = place === 0 || /[^a-z0-9]/.test(name[place - 1]!);
    if (name[place] === letters[at] && (isStart || follows)) {
      at++;
      follows = true;
    } else {
      follows = false;
    }
  }
  return at === letters.length;
}
