// The sidebar: the user's chats, the state of the connection, and the user's name.

import * as actions from "./actions.js";
import { warn } from "./announce.js";
import { avatar } from "./avatar.js";
import { attr, h, iconButton, reconcile, text } from "./dom.js";
import { badge, count, oneLine, short } from "./format.js";
import { on, state } from "./store.js";
import { themeButton } from "./theme-switch.js";

/** The chats, most recently active first. */
export function sorted() {
  const at = (chat) => chat.lastMessage?.sentAt ?? chat.createdAt;
  return [...state.chats.values()].sort((a, b) => (at(a) < at(b) ? 1 : at(a) > at(b) ? -1 : a.chatId - b.chatId));
}

/** Makes the sidebar. `act` has newChat, help and leave (log out, or in open mode pick another user). */
export function sidebarView(act) {
  const list = h("ul", { class: "chats" });
  const others = h("ul", { class: "chats" });
  const more = h("section", { "aria-labelledby": "others", hidden: true }, h("h2", { id: "others" }, "Chats to join"), others);
  const none = h("div", { class: "blank", hidden: true });
  const who = h("div", { class: "who" });
  const words = h("span");
  const leave = state.mode === "open" ? "Be somebody else" : "Log out";
  const root = h("nav", { class: "sidebar", "aria-label": "Chats" },
    h("header", {}, h("h1", {}, "Chats"), iconButton("add", "New chat", act.newChat)),
    h("div", { class: "roll", tabindex: "-1" }, none, list, more),
    h("footer", {},
      h("div", { class: "connected" }, h("span", { class: "dot" }), words),
      h("div", { class: "me" }, who, themeButton(), iconButton("key", "Keyboard shortcuts", act.help), iconButton("leave", leave, act.leave))));

  function draw() {
    if (!state.me) return;
    const chats = sorted();
    reconcile(list, chats, (chat) => chat.chatId, makeRow, drawRow);
    reconcile(others, state.others, (chat) => chat.chatId, (chat) => h("li", {}, joinButton(chat)), drawOther);
    more.hidden = state.others.length === 0;
    none.hidden = chats.length > 0;
    const blank = state.ready ? ["No chats yet", state.others.length > 0 ? "Join one below, or begin your own." : "Begin one with the + above."] : ["", "Loading…"];
    if (chats.length === 0) none.replaceChildren(h("h2", {}, blank[0]), h("p", {}, blank[1]));
    const unread = chats.reduce((sum, chat) => sum + chat.unread, 0);
    document.title = `${unread > 0 ? `(${badge(unread)}) ` : ""}${state.chats.get(state.current)?.chatName ?? "Messages"}`;
  }

  function drawWho() {
    if (state.me) who.replaceChildren(avatar(state.me.customerId, state.me.username, { small: true }), h("bdi", {}, state.me.username));
  }

  function drawConnection() {
    const { phase, retryAt } = state.connection;
    const resting = phase === "offline" && retryAt === null;
    const idle = resting && state.ready;
    root.dataset.phase = idle ? "online" : phase;
    text(words, idle ? "Ready" : phase === "online" ? "Connected" : resting || phase === "connecting" ? "Connecting…" : "Not connected");
  }

  on("chats", draw);
  on("current", draw);
  on("who", drawWho);
  on(["connection", "chats"], drawConnection);
  drawWho();
  drawConnection();
  draw();
  return root;
}

function makeRow(chat) {
  return h("li", {}, h("a", { href: `#/chat/${chat.chatId}` },
    h("bdi", { class: "name" }), h("time", {}), h("span", { class: "preview", dir: "auto" }), h("span", { class: "badge" })));
}

function drawRow(row, chat) {
  const link = row.firstElementChild;
  const [name, when, preview, unread] = link.children;
  const last = chat.lastMessage;
  text(name, chat.chatName);
  text(when, last ? short(last.sentAt) : "");
  text(preview, last ? said(last) : chat.topic ?? "No messages yet");
  attr(link, "title", chat.topic);
  text(unread, chat.unread > 0 ? badge(chat.unread) : "");
  unread.hidden = chat.unread === 0;
  if (chat.unread > 0) attr(unread, "aria-label", count(chat.unread, "unread message"));
  attr(unread, "role", chat.unread > 0 ? "img" : null);
  attr(link, "aria-current", chat.chatId === state.current ? "page" : null);
  link.classList.toggle("unread", chat.unread > 0);
}

function said({ username, customerId, content }) {
  const author = customerId === state.me.customerId ? "You" : username ?? "Someone";
  return `${author}: ${content === null ? "message deleted" : oneLine(content)}`;
}

function joinButton(chat) {
  const button = h("button", { type: "button", class: "join" },
    h("bdi", { class: "name" }), h("span", {}, "Join"), h("p", { class: "preview", dir: "auto" }));
  button.addEventListener("click", () => actions.join(chat.chatId).catch((error) => warn(error.message)));
  return button;
}

function drawOther(row, chat) {
  const [name, , topic] = row.firstElementChild.children;
  text(name, chat.chatName);
  text(topic, chat.topic ?? "");
  topic.hidden = !chat.topic;
}
