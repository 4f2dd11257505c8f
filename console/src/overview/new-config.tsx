// Asks for the name of a new config, and opens its page: the first save makes it.
import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { entryOf, namespaces } from "../api/catalog";
import { configHref, namespace, navigate } from "../router";
import { Button } from "../ui/button";
import { Dialog } from "../ui/dialog";
import { TextField } from "../ui/field";

const isOpen = signal(false);
const NAMESPACE = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const CONFIG = /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/;

export function openNewConfig(): void {
  isOpen.value = true;
}

export function NewConfig() {
  return isOpen.value ? <Form /> : null;
}

function Form() {
  const [within, setWithin] = useState(namespace.value);
  const [name, setName] = useState("");
  const [isChecked, setChecked] = useState(false);
  const close = () => (isOpen.value = false);
  const namespaceError = NAMESPACE.test(within) ? undefined : "1 to 63 of a-z, 0-9 and -, a letter or digit at both ends.";
  const known = entryOf(within, name);
  const nameError = !CONFIG.test(name) ? "1 to 63 of a-z, 0-9, -, . and _, a letter or digit at both ends." : known ? `${within}/${name} is there already.` : undefined;
  const open = (event: Event) => {
    event.preventDefault();
    setChecked(true);
    if (namespaceError || nameError) return;
    close();
    void navigate(configHref(within, name));
  };
  return (
    <Dialog
      title="New config"
      onClose={close}
      footer={
        <>
          <Button onClick={close}>Cancel</Button>
          <Button kind="primary" type="submit" form="new-config">
            Go on
          </Button>
        </>
      }
    >
      <form id="new-config" class="stack" onSubmit={open} autocomplete="off">
        <TextField label="Namespace" mono value={within} onValue={setWithin} list="known-namespaces" error={isChecked ? namespaceError : undefined} hint="A namespace comes into being with its first config." autofocus={!within} />
        <datalist id="known-namespaces">
          {namespaces.value.map(({ name: one }) => (
            <option key={one} value={one} />
          ))}
        </datalist>
        <TextField label="Name" mono value={name} onValue={setName} error={isChecked ? nameError : undefined} hint="Such as checkout, or checkout.retries" autofocus={!!within} />
        <p class="soft">Nothing is stored until you save its first layer.</p>
      </form>
    </Dialog>
  );
}
