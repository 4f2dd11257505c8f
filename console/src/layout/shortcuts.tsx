// Keyboard shortcuts: what they are, and the dialog that lists them. Pages add theirs with `useShortcut`.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { navigate } from "../router";
import { Dialog, isDialogOpen } from "../ui/dialog";
import { NAVIGATION, navigationHref } from "./pages";
import { openPalette } from "./palette";

interface Shortcut {
  /** As KeyboardEvent.key has it, such as "e" or "/". */
  key: string;
  label: string;
  run: () => void;
}

const own = signal<readonly Shortcut[]>([]);
const isShown = signal(false);

export function showShortcuts(): void {
  isShown.value = true;
}

/** A shortcut of a page, while the component is shown. It does nothing while a text is typed or a dialog is open. */
export function useShortcut(key: string, label: string, run: () => void): void {
  useEffect(() => {
    const shortcut = { key, label, run };
    own.value = [...own.value, shortcut];
    return () => {
      own.value = own.value.filter((other) => other !== shortcut);
    };
  });
}

const isTyping = (target: EventTarget | null) => target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

export function Shortcuts() {
  useEffect(() => {
    let goes = 0;
    const onKeyDown = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k") {
        event.preventDefault();
        openPalette();
        return;
      }
      // The target of an event from a shadow root is its host.
      const target = event.composedPath()[0] ?? event.target;
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isTyping(target) || isDialogOpen()) return;
      if (goes && Date.now() - goes < 1500) {
        goes = 0;
        const item = NAVIGATION.find(({ key }) => key === event.key);
        if (!item) return;
        event.preventDefault();
        void navigate(navigationHref(item.page, item.path));
        return;
      }
      goes = 0;
      const shortcut = own.value.find(({ key }) => key === event.key);
      if (shortcut) {
        event.preventDefault();
        shortcut.run();
      } else if (event.key === "g") {
        goes = Date.now();
      } else if (event.key === "?") {
        isShown.value = true;
      }
    };
    addEventListener("keydown", onKeyDown);
    return () => removeEventListener("keydown", onKeyDown);
  }, []);
  if (!isShown.value) return null;
  const rows: [string, string][] = [
    ["Ctrl K", "Search and go anywhere"],
    ["?", "This list"],
    ...own.value.map(({ key, label }): [string, string] => [key, label]),
    ...NAVIGATION.map(({ key, label }): [string, string] => [`g ${key}`, `Go to ${label}`]),
    ["Esc", "Close a dialog or menu"],
  ];
  return (
    <Dialog title="Keyboard shortcuts" onClose={() => (isShown.value = false)}>
      <table class="table">
        <tbody>
          {rows.map(([keys, label]) => (
            <tr key={keys}>
              <td class="nowrap">
                {keys.split(" ").map((key) => (
                  <kbd key={key}>{key}</kbd>
                ))}
              </td>
              <td>{label}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Dialog>
  );
}
