// The bar that shows the state of the connection while it is lost, and for a moment after its return.

import { say } from "./announce.js";
import { connection } from "./chats.js";
import { h, text } from "./dom.js";
import { on, state } from "./store.js";

/** How long the bar shows that the connection is back, in milliseconds. */
const BACK_MS = 3_000;
/** How long a first connection may take before the bar is shown, in milliseconds. */
const PATIENCE_MS = 1_000;

/** Makes the bar over everything. */
export function connectionView() {
  const words = h("span");
  const button = h("button", { type: "button", class: "link", onclick: () => connection()?.reconnect() }, "Try now");
  const bar = h("div", { class: "connection", hidden: true }, words, button);
  let [timer, told] = [null, ""];

  function show(sentence, { retry = false, good = false } = {}) {
    text(words, sentence);
    button.hidden = !retry;
    bar.classList.toggle("good", good);
    bar.hidden = sentence === "";
  }

  /** Announces a state once, however often it is drawn: screen readers should not read a countdown. */
  function tell(sentence) {
    if (sentence !== told) say(sentence);
    told = sentence;
  }

  function draw() {
    clearTimeout(timer);
    const { phase, retryAt, restored, lost } = state.connection;
    if (phase === "online") {
      show(restored ? "Connected again. Nothing was lost." : "", { good: true });
      if (restored) {
        tell("Connected again. Nothing was lost.");
        timer = setTimeout(() => show(""), BACK_MS);
      }
    } else if (phase === "waiting" || (phase === "offline" && retryAt !== null)) {
      const left = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
      const reason = phase === "offline" ? "No network." : "Connection lost.";
      show(`${reason} ${left > 0 ? `Trying again in ${left} s.` : "Trying again…"} What you write is kept and sent then.`, { retry: left > 0 });
      tell(`${reason} Trying again. What you write is kept and sent then.`);
      if (left > 0) timer = setTimeout(draw, 1000);
    } else if (lost) {
      show("Connecting again…");
    } else if (phase === "connecting") {
      timer = setTimeout(() => show("Connecting…"), PATIENCE_MS);
    } else {
      show("");
    }
  }

  on("connection", draw);
  return bar;
}
