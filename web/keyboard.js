// The shortcuts. Shortcuts with Ctrl or Alt work everywhere. Single letters work only while the user moves
// by keyboard: after a click, typed letters go into the text field.

import * as actions from "./actions.js";
import { togglePanel } from "./members.js";
import * as prompts from "./prompts.js";
import { sorted } from "./sidebar.js";
import { state, currentChat } from "./store.js";
import { toggleTheme } from "./theme-switch.js";

/** The keys that move the focus. */
const MOVES = /^(?:Arrow|Page|Home$|End$|Tab$|Escape$)/u;
let pointed = false;

/** Listens to the whole page; `view` has the composer and the messages. */
export function shortcuts(view) {
  addEventListener("pointerdown", () => (pointed = true), { capture: true });
  addEventListener("keydown", ({ key }) => (pointed &&= !MOVES.test(key)), { capture: true });
  document.addEventListener("keydown", (event) => {
    if (!state.me || event.isComposing || document.querySelector("dialog[open]")) return;
    const plain = !isWriting(event.target) && !event.ctrlKey && !event.metaKey && !event.altKey;
    // The letter itself arrives where the focus is by then.
    if (plain && pointed && /^\S$/u.test(event.key) && currentChat()) return view.composer.focus();
    const act = everywhere(event) ?? (plain ? elsewhere(event, view) : null);
    if (!act) return;
    event.preventDefault();
    act();
  });
}

const isWriting = (element) => element instanceof Element && element.closest("input, textarea") !== null;

function everywhere({ key, ctrlKey, metaKey, altKey, shiftKey }) {
  if ((ctrlKey || metaKey) && !altKey && !shiftKey && key === "k") return prompts.switchChat;
  if (!altKey || ctrlKey || metaKey) return null;
  if (key === "ArrowDown") return () => neighbour(1);
  if (key === "ArrowUp") return () => neighbour(-1);
  return null;
}

function elsewhere({ key, target }, view) {
  const chat = currentChat();
  if (key === "?") return prompts.shortcuts;
  if (key === "n") return prompts.newChat;
  if (key === "t") return toggleTheme;
  if (!chat) return null;
  const row = target.closest?.(".messages > li");
  const message = row?.matches(".message") && chat.timeline.get(Number(row.dataset.id));
  if (row) return (message && onMessage(key, chat, message, view)) || onRow(key, view);
  if (key === "p") return () => togglePanel();
  if (key === "i") return view.composer.focus;
  if (key === "Escape" && target.closest?.(".panel")) return () => togglePanel(false);
  if (target !== view.messages.scroller) return null;
  if (key === "ArrowUp" || key === "ArrowDown") return () => view.messages.step(key === "ArrowUp" ? -1 : 1);
  return key === "End" ? view.messages.toEnd : null;
}

function onMessage(key, chat, message, view) {
  const mine = message.customerId === state.me.customerId && message.deletedAt === null;
  if (key === "e" && mine) return () => view.composer.edit(message);
  if (key === "Delete" && message.deletedAt === null && (mine || view.mayDelete())) return () => prompts.removeMessage(chat, message);
  return null;
}

/** The keys on any row, be it a message or notices. */
function onRow(key, view) {
  if (key === "ArrowUp") return () => view.messages.step(-1);
  if (key === "ArrowDown") return () => view.messages.step(1);
  if (key === "End") return view.messages.toEnd;
  if (key === "i" || key === "Escape") return view.composer.focus;
  if (key === "p") return () => togglePanel();
  return null;
}

/** Goes to the next or the previous chat of the list. */
function neighbour(by) {
  const chats = sorted();
  const at = chats.findIndex((chat) => chat.chatId === state.current);
  const next = at < 0 ? chats[0] : chats[(at + by + chats.length) % chats.length];
  if (next) actions.show(next.chatId);
}
