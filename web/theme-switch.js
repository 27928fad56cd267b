// Light or dark: the theme of the system, until the user chooses one.

import { h, icon } from "./dom.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";

/** Switches the theme. The choice is not stored if it is the theme of the system. */
export function toggleTheme() {
  const next = isDark() ? "light" : "dark";
  if ((next === "dark") === dark.matches) {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem("theme");
  } else {
    document.documentElement.dataset.theme = next;
    localStorage.setItem("theme", next);
  }
  dispatchEvent(new Event("theme"));
}

/** The button that switches the theme. */
export function themeButton() {
  const button = h("button", { type: "button", class: "icon-button", onclick: toggleTheme });
  const draw = () => {
    const label = isDark() ? "Light theme" : "Dark theme";
    button.setAttribute("aria-label", label);
    button.title = label;
    button.replaceChildren(icon(isDark() ? "sun" : "moon"));
  };
  addEventListener("theme", draw);
  dark.addEventListener("change", draw);
  draw();
  return button;
}
