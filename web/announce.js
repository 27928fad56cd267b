// Announcements to screen readers. The page has two live regions from the start: a polite one for
// events, and an urgent one for errors, which are also shown.

import { h, text } from "./dom.js";

const polite = document.getElementById("polite");
const urgent = document.getElementById("urgent");
/** How long a warning is shown. */
const SHOWN_MS = 6_000;
let timer = null;

/** Announces a text politely. */
export function say(words) {
  // The same words again are said again only if the text changes in between.
  text(polite, polite.textContent === words ? `${words}\u00a0` : words);
}

/** Announces and shows an error. */
export function warn(words) {
  text(urgent, urgent.textContent === words ? `${words}\u00a0` : words);
  show(words);
}

/** Announces and shows an event. */
export function tell(words) {
  say(words);
  show(words);
}

/** Shows a sentence for a while. */
function show(words) {
  document.querySelector(".toast")?.remove();
  const toast = h("div", { class: "toast", "aria-hidden": true }, words);
  // A dialog lies over everything but its own children.
  (document.querySelector("dialog[open]") ?? document.body).append(toast);
  clearTimeout(timer);
  timer = setTimeout(() => toast.remove(), SHOWN_MS);
}
