// The user's actions in a chat. Each is sent to the server, and its answer changes the page.

import * as api from "./api.js";
import { warn } from "./announce.js";
import { connection, drop, refresh } from "./chats.js";
import { state, changed } from "./store.js";

/** Shows a chat. Its id goes into the address, so that the browser's back button works. */
export const show = (chatId) => {
  location.hash = `#/chat/${chatId}`;
};

/**
 * Shows the list of chats. If the user came from the list, it goes back in the browser's history, so that
 * the back button does not lead to the chat again. Otherwise the list replaces the chat in the history.
 */
export function showList() {
  if (history.state?.fromList) return history.back();
  history.replaceState(null, "", "#/");
  dispatchEvent(new HashChangeEvent("hashchange"));
}

/** Sends a message; it is shown at once, with its state. */
export const send = (chat, content) => connection().send(chat.chatId, content);

/** Sends a failed message again; as a new message if it could not be queued. */
export function retry(chat, { clientMessageId, content }) {
  if (connection().retry(clientMessageId)) return;
  discard(chat, clientMessageId);
  send(chat, content);
}

/** Discards a failed message. */
export function discard(chat, clientMessageId) {
  connection().discard(clientMessageId);
  chat.timeline.confirm(clientMessageId);
  changed("timeline");
}

/** Changes the text of a message. Resolves to whether this succeeded. */
export async function edit(chat, messageId, content) {
  try {
    chat.timeline.put(await connection().update(chat.chatId, messageId, content));
    changed("timeline");
    return true;
  } catch (error) {
    warn(`Not changed: ${error.message}`);
    return false;
  }
}

/** Deletes a message. */
export async function remove(chat, messageId) {
  try {
    const { seq } = await connection().delete(chat.chatId, messageId);
    chat.timeline.bury(messageId, seq);
    changed("timeline");
  } catch (error) {
    warn(`Not deleted: ${error.message}`);
  }
}

/** Announces to the chat that the user is typing. */
export const typing = (chat) => connection().typing(chat.chatId);

/** The least time between two read positions of a chat, in milliseconds. */
const MARK_MS = 1_000;

/** Sends the read position if it is beyond the last one: at once, or MARK_MS after the last one. */
export function markRead(chat, messageId) {
  if (messageId <= (chat.lastReadMessageId ?? 0)) return;
  chat.lastReadMessageId = messageId;
  chat.unread = chat.timeline.unread(messageId, state.me.customerId);
  chat.recent = chat.recent.filter((id) => id > messageId);
  changed("chats");
  chat.marking ??= setTimeout(() => {
    chat.marking = null;
    chat.marked = Date.now();
    connection()?.markRead(chat.chatId, chat.lastReadMessageId);
  }, Math.max(0, (chat.marked ?? 0) + MARK_MS - Date.now()));
}

/** Creates a chat with the user as its admin, and shows it. */
export async function createChat(name) {
  const chat = await api.createChat(name);
  // In open mode the server does not know the creator of a chat.
  if (state.mode === "open") await api.addMember(chat.chatId, state.me.customerId, "admin");
  await refresh();
  show(chat.chatId);
}

/** Open mode: joins a chat, and shows it. */
export async function join(chatId) {
  await api.addMember(chatId, state.me.customerId);
  await refresh();
  show(chatId);
}

export const rename = (chat, chatName) => change(chat, { chatName });

/** Sets the topic of a chat. An empty text removes the topic. */
export const setTopic = (chat, words) => change(chat, { topic: words.trim() === "" ? null : words.trim() });

async function change(chat, fields) {
  const { chatName, topic = null } = await api.updateChat(chat.chatId, fields);
  Object.assign(chat, { chatName, topic, changedAt: performance.now() });
  changed("chats", "current");
}

export async function deleteChat(chat) {
  await going(chat, () => api.deleteChat(chat.chatId));
  drop(chat.chatId);
}

// The socket tells of the change of the members; see events.js.
export const addPerson = (chat, customerId) => api.addMember(chat.chatId, customerId);
export const removePerson = (chat, customerId) => api.removeMember(chat.chatId, customerId);

/** Runs an action that removes the chat from the user's list. The page shows no notice of its end then. */
async function going(chat, act) {
  chat.leaving = true;
  try {
    await act();
  } catch (error) {
    chat.leaving = false;
    throw error;
  }
}

/** Ends the user's own membership. */
export async function leave(chat) {
  await going(chat, () => api.removeMember(chat.chatId, state.me.customerId));
  drop(chat.chatId);
  await refresh();
}
