/** Whether the editor has text that is not saved, and the question before it is lost. */
import { signal } from "@preact/signals";
import { confirm } from "../ui/dialog";

export const unsaved = signal(false);

export async function askToLeave(): Promise<boolean> {
  const leaves = await confirm({ title: "Leave without saving?", text: "Your changes of this layer are not saved, and are kept nowhere else.", action: "Leave and lose them", danger: true });
  if (leaves) unsaved.value = false;
  return leaves;
}
