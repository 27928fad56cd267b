// The chat's heading, and the panel with its members and the actions on the chat.

import * as actions from "./actions.js";
import { avatar } from "./avatar.js";
import { attr, h, icon, iconButton, reconcile, text } from "./dom.js";
import { count } from "./format.js";
import { changed, currentChat, on, state } from "./store.js";
import * as prompts from "./prompts.js";

/** Whether the user may rename, add, remove and delete in this chat. In open mode every user may. */
export const mayRun = (chat) => state.mode === "open" || chat.role === "admin";

/** Shows or hides the members. If the focus was among them, it moves to the button that opens the panel. */
export function togglePanel(to = !state.panel) {
  const within = document.activeElement?.closest(".panel");
  state.panel = to;
  changed("people", "current");
  if (within && !to) document.querySelector("[aria-controls=people]").focus();
}

const collator = new Intl.Collator(undefined, { numeric: true });

/** The heading over the messages. */
export function headingView() {
  const name = h("h1", { dir: "auto" });
  const present = h("span");
  const topic = h("span", { class: "topic", dir: "auto" });
  const about = h("p", {}, present, topic);
  const toggle = iconButton("people", "People and settings", () => togglePanel(), { "aria-controls": "people" });
  const root = h("header", { class: "heading" },
    iconButton("back", "All chats", actions.showList, { class: "icon-button back" }),
    h("div", { class: "title" }, name, about), toggle);
  on(["current", "people"], () => {
    const chat = currentChat();
    if (!chat) return;
    text(name, chat.chatName);
    const members = chat.members ? `${count(chat.members.length, "person", "people")}, ` : "";
    text(present, `${members}${chat.online.size} online`);
    text(topic, chat.topic ?? "");
    attr(topic, "title", chat.topic ?? null);
    topic.hidden = !chat.topic;
    attr(toggle, "aria-expanded", String(state.panel));
  });
  return root;
}

/** The list of members, and the actions on the chat. */
export function peopleView() {
  const list = h("ul", { class: "people" });
  const title = h("h2", {}, "People");
  const add = h("button", { type: "button", class: "wide", onclick: () => prompts.addPeople(currentChat()) }, icon("add"), "Add people");
  const topic = h("p", { class: "topic", dir: "auto" });
  const rename = h("button", { type: "button", class: "wide", onclick: () => prompts.rename(currentChat()) }, icon("edit"), "Rename chat");
  const about = h("button", { type: "button", class: "wide", onclick: () => prompts.topic(currentChat()) }, icon("topic"), "Topic");
  const leave = h("button", { type: "button", class: "wide", onclick: () => prompts.leave(currentChat()) }, icon("leave"), "Leave chat");
  const bin = h("button", { type: "button", class: "wide danger", onclick: () => prompts.deleteChat(currentChat()) }, icon("bin"), "Delete chat");
  const root = h("aside", { class: "panel", id: "people", "aria-label": "People and settings" },
    h("header", {}, title, iconButton("close", "Close people", () => togglePanel(false))),
    h("div", { class: "roll", tabindex: "-1" }, topic, add, list),
    h("footer", {}, rename, about, leave, bin));

  function draw() {
    const chat = currentChat();
    root.hidden = !state.panel || !chat;
    if (root.hidden) return;
    const runs = mayRun(chat);
    for (const button of [add, rename, about, bin]) button.hidden = !runs;
    text(topic, chat.topic ?? "");
    topic.hidden = !chat.topic;
    const here = (one) => chat.online.has(one.customerId);
    const order = (a, b) => here(b) - here(a) || collator.compare(a.username, b.username);
    const people = [...(chat.members ?? [])].sort(order);
    reconcile(list, people, (one) => one.customerId, () => h("li"), (row, one) => drawPerson(row, one, here(one), runs, chat));
  }

  on(["people", "current"], draw);
  return root;
}

function drawPerson(row, person, online, runs, chat) {
  const me = person.customerId === state.me.customerId;
  const signature = [person.username, person.role, online, runs, chat.chatId].join("|");
  if (row.signature === signature) return;
  row.signature = signature;
  const remove = runs && !me && iconButton("close", `Remove ${person.username}`, () => prompts.removePerson(chat, person));
  row.replaceChildren(...[
    avatar(person.customerId, person.username, { online, small: true }),
    h("div", {}, h("bdi", { class: "name" }, person.username), me && " (you)",
      h("p", {}, [online ? "Online" : "Offline", person.role === "admin" && "admin"].filter(Boolean).join(", "))),
    remove,
  ].filter(Boolean));
}
