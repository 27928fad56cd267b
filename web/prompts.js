// Dialogs: confirmations, forms and lists to pick from.

import * as actions from "./actions.js";
import * as api from "./api.js";
import { warn } from "./announce.js";
import { avatar } from "./avatar.js";
import { askText, confirm, field, form, open, pick } from "./dialog.js";
import { h } from "./dom.js";
import { count } from "./format.js";
import { sorted } from "./sidebar.js";

export const newChat = () => askText("New chat", "Name", "", "Create chat", actions.createChat);

export const rename = (chat) => askText("Rename chat", "Name", chat.chatName, "Rename", (name) => actions.rename(chat, name));

/** Asks for the topic of a chat. An empty one removes it. */
export function topic(chat) {
  open(chat.topic ? "Change the topic" : "Set a topic", (close) => [
    form([field("Topic", "text", { value: chat.topic ?? "", maxlength: "1000", required: false })], "Save", async ({ text }) => {
      await actions.setTopic(chat, text);
      close();
    }, { cancel: close }),
  ]).querySelector("input").select();
}

export function removeMessage(chat, message) {
  confirm("Delete this message?", "Everyone sees that a message was deleted, and nobody what it said.", "Delete", () => actions.remove(chat, message.messageId));
}

export function leave(chat) {
  confirm(`Leave ${chat.chatName}?`, "You will not get its messages any more.", "Leave", async () => {
    await actions.leave(chat);
    actions.showList();
  });
}

export function deleteChat(chat) {
  confirm(`Delete ${chat.chatName}?`, "The chat and its messages are gone for everyone, for good.", "Delete chat", async () => {
    await actions.deleteChat(chat);
    actions.showList();
  });
}

export function removePerson(chat, person) {
  confirm(`Remove ${person.username}?`, `${person.username} will not see ${chat.chatName} any more.`, "Remove", () => actions.removePerson(chat, person.customerId));
}

export async function addPeople(chat) {
  let users;
  try {
    users = await api.users();
  } catch (error) {
    warn(error.message);
    return;
  }
  const members = new Set(chat.members?.map((one) => one.customerId));
  const rows = users.filter((user) => !members.has(user.customerId))
    .map((user) => ({ key: user.customerId, name: user.username, sign: () => avatar(user.customerId, user.username, { small: true }) }));
  pick("Add people", "Find somebody by name", rows, (row) => actions.addPerson(chat, row.key), rows.length > 0 ? "Nobody of that name." : "Everybody is here already.");
}

export function switchChat() {
  const rows = sorted().map((chat) => ({ key: chat.chatId, name: chat.chatName, detail: chat.unread > 0 ? count(chat.unread, "unread message") : null }));
  pick("Go to a chat", "Find a chat by name", rows, (row) => actions.show(row.key), "No chat of that name.");
}

const apple = /Mac|iPhone|iPad/u.test(navigator.platform);

/** Every shortcut, as it is shown. */
const SHORTCUTS = [
  ["Find a chat", apple ? "⌘ K" : "Ctrl K"],
  ["Next, previous chat", "Alt ↓", "Alt ↑"],
  ["New chat", "n"],
  ["People and settings", "p"],
  ["Write", "i"],
  ["Send", "Enter"],
  ["New line", "Shift Enter"],
  ["Edit your last message", "↑"],
  ["From message to message", "Esc", "↑", "↓"],
  ["Edit the message in focus", "e"],
  ["Delete the message in focus", "Delete"],
  ["To the latest message", "End"],
  ["Light or dark", "t"],
  ["Leave what one is in", "Esc"],
  ["This list", "?"],
];

export function shortcuts() {
  open("Keyboard shortcuts", () => [
    h("dl", { class: "shortcuts" }, SHORTCUTS.map(([what, ...keys]) => h("div", {}, h("dt", {}, what), h("dd", {}, keys.map((key) => h("kbd", {}, key)))))),
    h("p", { class: "note" }, "Single letters work where you move by keys: Esc leaves the message you write. After a click, what you type is a message."),
  ], "wide");
}

