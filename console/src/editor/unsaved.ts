/** Whether the editor has text that is not saved, and the question before it is lost. */
import { signal } from "@preact/signals";
import { confirm } from "../ui/dialog";

export const unsaved = signal(false);

export function askToLeave(): Promise<boolean> {
  return confirm({ title: "Leave without saving?", text: "Your changes of this layer are not saved, and are kept nowhere else.", action: "Leave and lose them", danger: true });
}

/** Whether the editor may be closed: nothing is lost, or somebody decides so. */
export async function mayClose(): Promise<boolean> {
  return !unsaved.peek() || askToLeave();
}
