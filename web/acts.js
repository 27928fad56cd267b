// What one does in a chat: each act goes to the server, and what comes back changes the page.

import * as api from "./api.js";
import { warn } from "./announce.js";
import { connection, drop, people, refresh } from "./chats.js";
import { state, changed } from "./store.js";

/** Where the page is: in the address, so that the browser's way back works. */
export const show = (chatId) => {
  location.hash = `#/chat/${chatId}`;
};

/**
 * Back to the list of chats: by the browser's own way where one came from there, so that its back button
 * does not lead forward again; else in place of the chat.
 */
export function showList() {
  if (history.state?.fromList) return history.back();
  history.replaceState(null, "", "#/");
  dispatchEvent(new HashChangeEvent("hashchange"));
}

/** Sends a message; it is shown at once, with its state. */
export const send = (chat, content) => connection().send(chat.chatId, content);

/** Sends what has failed again; anew, where it could not even be queued. */
export function retry(chat, { clientMessageId, content }) {
  if (connection().retry(clientMessageId)) return;
  discard(chat, clientMessageId);
  send(chat, content);
}

/** Gives up what has failed. */
export function discard(chat, clientMessageId) {
  connection().discard(clientMessageId);
  chat.timeline.confirm(clientMessageId);
  changed("timeline");
}

/** Changes the text of a message; tells whether it did. */
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

/** Tells the others that one is typing. */
export const typing = (chat) => connection().typing(chat.chatId);

/** From one mark to the next of a chat, in milliseconds, at least. */
const MARK_MS = 1_000;

/** Tells how far one has read, if it is further than before: at once, or a moment after the mark before. */
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

/** Makes a chat, with oneself as its admin, and shows it. */
export async function createChat(name) {
  const chat = await api.createChat(name);
  // In open mode the server does not know who makes a chat.
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

export async function rename(chat, name) {
  const { chatName } = await api.renameChat(chat.chatId, name);
  chat.chatName = chatName;
  changed("chats", "current");
}

export async function deleteChat(chat) {
  await going(chat, () => api.deleteChat(chat.chatId));
  drop(chat.chatId);
}

export async function addPerson(chat, customerId) {
  await api.addMember(chat.chatId, customerId);
  await people(chat);
}

export async function removePerson(chat, customerId) {
  await api.removeMember(chat.chatId, customerId);
  await people(chat);
}

/** Does what takes the chat away from oneself: its end is no news then. */
async function going(chat, act) {
  chat.leaving = true;
  try {
    await act();
  } catch (error) {
    chat.leaving = false;
    throw error;
  }
}

/** Ends one's own membership. */
export async function leave(chat) {
  await going(chat, () => api.removeMember(chat.chatId, state.me.customerId));
  drop(chat.chatId);
  await refresh();
}
