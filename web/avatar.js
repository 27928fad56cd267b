// The avatar of a user: a circle with a letter.

import { h } from "./dom.js";
import { hue, initial } from "./format.js";

/** A circle with the first letter of a name; `online` adds a dot. Decoration: the name stands beside it. */
export function avatar(id, name, { online = false, small = false } = {}) {
  const element = h("span", { class: `avatar${small ? " small" : ""}`, "aria-hidden": true }, initial(name));
  // Set by script, because the content security policy forbids style attributes.
  element.style.setProperty("--hue", hue(id ?? 0));
  if (online) element.append(h("span", { class: "dot" }));
  return element;
}
