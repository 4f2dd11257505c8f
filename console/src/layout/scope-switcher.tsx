// The switcher of environments: which scope the whole console looks at. Always visible; production is red.
import { useSignal } from "@preact/signals";
import { scopesOf } from "../api/catalog";
import { namespace, normalScope, scope, setScope } from "../router";
import { isProduction } from "../ui/badge";
import { Icon } from "../ui/icons";
import { Menu } from "../ui/menu";

/** As many as fit on a screen. */
const SHOWN_MAX = 100;

export function ScopeSwitcher() {
  const text = useSignal("");
  const current = scope.value;
  return (
    <Menu
      side="left"
      class={`picker scope ${isProduction(current) ? "production" : ""}`}
      label={`Scope: ${current}${isProduction(current) ? ", production" : ""}`}
      button={
        <>
          <span class="caption">Scope</span>
          <span class="truncate mono">{current === "/" ? "/ (all)" : current}</span>
          <Icon name="chevron" size={12} />
        </>
      }
    >
      {(close) => {
        const choose = (to: string) => {
          close();
          text.value = "";
          setScope(to);
        };
        const typed = text.value.trim();
        const found = scopesOf(namespace.value).filter((one) => one.toLowerCase().includes(typed.toLowerCase()));
        const wanted = normalScope(typed);
        return (
          <>
            <form
              onSubmit={(event) => {
                event.preventDefault();
                if (typed) choose(wanted);
              }}
            >
              <input class="input mono" aria-label="Find or type a scope" placeholder="/production/checkout" autocomplete="off" spellcheck={false} value={text.value} onInput={(event) => (text.value = event.currentTarget.value)} />
            </form>
            {found.slice(0, SHOWN_MAX).map((one) => (
              <button key={one} type="button" class="item" aria-current={one === current} onClick={() => choose(one)}>
                <span class={isProduction(one) ? "grow truncate mono bad" : "grow truncate mono"}>{one === "/" ? "/ (all)" : one}</span>
                {isProduction(one) && one.lastIndexOf("/") === 0 && <span class="badge production">production</span>}
              </button>
            ))}
            {found.length > SHOWN_MAX && <p class="caption">{found.length - SHOWN_MAX} more: type a part of the scope</p>}
            {typed && !found.includes(wanted) && (
              <button type="button" class="item" onClick={() => choose(wanted)}>
                <span class="grow truncate">
                  Look at <code>{wanted}</code>
                </span>
                <span class="faint small">no layer yet</span>
              </button>
            )}
          </>
        );
      }}
    </Menu>
  );
}
