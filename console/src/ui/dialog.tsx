// Dialogs: the focus stays within, Escape closes, and the focus returns to where it was. Built on <dialog>.
import { signal } from "@preact/signals";
import { render, type ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { Button, IconButton } from "./button";

interface Props {
  title: ComponentChildren;
  onClose: () => void;
  size?: "wide" | "full";
  /** Buttons at the end. The last one is the main action. */
  footer?: ComponentChildren;
  /** Do not close by Escape or a click beside: something runs, or would be lost. */
  sticky?: boolean;
  children: ComponentChildren;
}

export function Dialog({ title, onClose, size, footer, sticky, children }: Props) {
  const element = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    const dialog = element.current;
    dialog?.showModal();
    return () => {
      dialog?.close();
      if (before?.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={element}
      class={size ? `dialog ${size}` : "dialog"}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        if (!sticky) onClose();
      }}
      onMouseDown={(event) => {
        if (event.target === element.current && !sticky) onClose();
      }}
    >
      <header>
        <h2 id={id}>{title}</h2>
        <IconButton icon="close" label="Close" onClick={onClose} disabled={sticky} />
      </header>
      <div class="body">{children}</div>
      {footer && <footer>{footer}</footer>}
    </dialog>
  );
}

interface Question {
  title: string;
  text: ComponentChildren;
  /** The words of the action: "Delete layer", never "OK". */
  action: string;
  danger?: boolean;
}

/** Asks for a decision. `true`: do it. */
export function confirm(question: Question): Promise<boolean> {
  return new Promise((resolve) => {
    const root = document.createElement("div");
    document.body.append(root);
    const end = (answer: boolean) => {
      render(null, root);
      root.remove();
      resolve(answer);
    };
    render(
      <Dialog
        title={question.title}
        onClose={() => end(false)}
        footer={
          <>
            <Button onClick={() => end(false)}>Cancel</Button>
            <Button kind={question.danger ? "danger" : "primary"} onClick={() => end(true)}>
              {question.action}
            </Button>
          </>
        }
      >
        {question.text}
      </Dialog>,
      root,
    );
  });
}

/** Whether a dialog is open, so that shortcuts of the page do nothing. */
export function isDialogOpen(): boolean {
  return document.querySelector("dialog[open]") !== null;
}

/** A dialog that any page can open, with what it shows. */
export function dialogState<T>() {
  return signal<T | undefined>(undefined);
}
