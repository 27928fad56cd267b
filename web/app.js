// The page: the sign-in, then the chats. Combines the views and follows the address.

import * as actions from "./actions.js";
import { say } from "./announce.js";
import * as chats from "./chats.js";
import { composerView, refuseFiles } from "./composer.js";
import { connectionView } from "./connection.js";
import { h } from "./dom.js";
import { shortcuts } from "./keyboard.js";
import { messagesView } from "./messages.js";
import { headingView, mayRun, peopleView } from "./members.js";
import * as prompts from "./prompts.js";
import * as session from "./session.js";
import { sidebarView } from "./sidebar.js";
import { changed, currentChat, on, state } from "./store.js";
import { welcomeView } from "./welcome.js";

const page = document.getElementById("page");
const view = {};
let root = null;
/** Whether the list of chats has been shown: then a chat that is opened from it has it behind itself in the history. */
let listed = false;
/** Counts who asked for the focus last: one who has left the composer meanwhile is not called back. */
let wanted = 0;

/** The views are made once, when they are first needed. */
function chatPage() {
  const mayDelete = () => mayRun(currentChat());
  view.mayDelete = mayDelete;
  view.messages = messagesView({
    edit: (message) => view.composer.edit(message),
    remove: (message) => prompts.removeMessage(currentChat(), message),
    retry: (message) => actions.retry(currentChat(), message),
    discard: (message) => actions.discard(currentChat(), message.clientMessageId),
    mayDelete,
  }, actions.markRead);
  view.composer = composerView(view.messages.toEnd, () => {
    wanted += 1;
    view.messages.scroller.focus();
  });
  const pick = h("div", {}, h("h2", {}, "Pick a chat"), h("p", {}, "Or press ", h("kbd", {}, "?"), " to see what the keyboard can do."));
  const begin = h("div", {}, h("h2", {}, "Nothing here yet"), h("p", {}, "A chat needs a name, and then people."),
    h("div", { class: "buttons" }, h("button", { type: "button", class: "main", onclick: prompts.newChat }, "Begin a chat")));
  const nothing = h("div", { class: "blank nothing" }, pick, begin);
  const chat = h("main", { class: "chat" }, headingView(), view.messages.root, view.composer.root, nothing);
  const shell = h("div", { class: "shell" }, connectionView(), sidebarView({ newChat: prompts.newChat, help: prompts.shortcuts, leave }), chat, peopleView());
  on("current", () => {
    const shown = Boolean(currentChat());
    shell.classList.toggle("in-chat", shown);
    for (const part of chat.children) part.hidden = part === nothing ? shown : !shown;
  });
  on(["chats", "current"], () => {
    pick.hidden = state.chats.size === 0;
    begin.hidden = state.chats.size > 0 || !state.ready;
  });
  on(["people", "current"], () => shell.classList.toggle("with-panel", state.panel && Boolean(currentChat())));
  shortcuts(view);
  return shell;
}

/** Shows the chat that the address names. */
function follow() {
  if (!state.me) return;
  const id = Number(/^#\/chat\/(\d+)$/u.exec(location.hash)?.[1] ?? NaN);
  const next = state.chats.has(id) ? id : null;
  if (next === state.current && next !== null) return;
  if (next !== null && state.current === null && listed) history.replaceState({ fromList: true }, "");
  listed ||= next === null && state.ready;
  state.current = next;
  changed("current", "timeline", "people", "typing", "chats");
  if (next === null) return;
  if (matchMedia("(max-width: 760px)").matches) state.panel = false;
  chats.open(next);
  say(`${currentChat().chatName}`);
  const mine = (wanted += 1);
  if (matchMedia("(hover: hover)").matches) requestAnimationFrame(() => mine === wanted && view.composer.focus());
}

async function enter() {
  root ??= chatPage();
  page.replaceChildren(root);
  changed("who", "chats", "current", "connection");
  await chats.begin(session.currentToken(), ended);
  // With room for it, one begins where something happened last.
  if (!location.hash.startsWith("#/chat/") && state.chats.size > 0 && matchMedia("(min-width: 761px)").matches) {
    const [first] = [...state.chats.keys()];
    history.replaceState(null, "", `#/chat/${first}`);
  }
  follow();
}

function welcome(notice) {
  page.replaceChildren(welcomeView(enter, notice));
  document.title = "Messages";
  page.querySelector(state.mode === "open" ? "h1" : "input")?.focus();
}

async function leave() {
  chats.stop();
  await session.logOut();
  history.replaceState(null, "", "#/");
  welcome();
}

/** Handles the end of the session: the server ended it, or it expired. */
function ended() {
  if (!state.me) return;
  chats.stop();
  session.end();
  welcome("Your session has ended. Log in again.");
}

addEventListener("hashchange", follow);
// The open chat may have been removed, or the chat in the address may have been added.
on("chats", () => state.ready && follow());
// Without these listeners, the browser would open a dropped file in place of the page.
for (const type of ["dragover", "drop"]) addEventListener(type, (event) => refuseFiles(event, event.dataTransfer));
session.whenEnded(ended);
if (await session.resume()) enter();
else welcome();
