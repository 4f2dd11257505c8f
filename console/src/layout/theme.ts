// The theme: that of the system, unless the user chose one. The choice is the only thing that the console keeps in the browser.
import { effect, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";
const KEY = "confwatch.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

function kept(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return value === "light" || value === "dark" ? value : "system";
  } catch {
    return "system";
  }
}

export const theme = signal<Theme>(kept());
const systemIsDark = signal(system.matches);
system.addEventListener("change", () => (systemIsDark.value = system.matches));

/** Applies the theme, now and at each change. */
export function startTheme(): void {
  effect(() => {
    const isDark = theme.value === "dark" || (theme.value === "system" && systemIsDark.value);
    document.documentElement.dataset.theme = isDark ? "dark" : "light";
  });
}

export function setTheme(of: Theme): void {
  theme.value = of;
  try {
    if (of === "system") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, of);
  } catch {
    // The theme then lasts as long as the page.
  }
}
