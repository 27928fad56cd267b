// Applies the events of the socket to the state of the page.

import { say, tell, warn } from "./announce.js";
import { oneLine } from "./format.js";
import { wordsOf } from "./notices.js";
import { state, changed, currentChat } from "./store.js";

/** How long a user is shown as typing after the last typing event, in milliseconds. */
const TYPING_MS = 5_000;
/** How long the note that a user came or left is shown, in milliseconds. */
const NOTE_MS = 6_000;

/** Listens to a client. `go` has the actions of chats.js: ended, refresh, drop, people, history. */
export function listen(client, go) {
  const on = (type, act) => client.on(type, (event, info) => {
    const chat = state.chats.get(event.chatId ?? info?.chatId);
    if (chat) act(chat, event, info);
  });
  on("message", received);
  on("update", edited);
  on("delete", deleted);
  on("member", memberChanged);
  on("chat", chatChanged);
  on("join", came);
  on("leave", left);
  on("typing", typing);
  on("read", (chat, read) => hasRead(chat, read, go));
  on("connected", (chat, { online }) => connected(chat, online, go));
  on("caught-up", () => changed("timeline"));
  on("outgoing", (chat, local) => outgoing(chat, local));
  on("reset", (chat) => reset(chat, client, go));
  client.on("user", renamed);
  client.on("removed", ({ chatId }) => gone(chatId, "You are no longer a member of", go));
  client.on("deleted-chat", ({ chatId }) => gone(chatId, "This chat was deleted:", go));
  client.on("state", connection);
  client.on("signed-out", () => go.ended());
}

function received(chat, message, info) {
  const mine = message.customerId === state.me.customerId;
  chat.timeline.put(message);
  if (message.messageId > (chat.lastMessage?.messageId ?? 0)) {
    chat.lastMessage = message;
    if (!mine) {
      chat.unread += 1;
      chat.recent.push(message.messageId);
    }
  }
  quiet(chat, message.customerId);
  if (!mine && chat === currentChat() && !info?.replay) say(`${message.username}: ${oneLine(message.content)}`);
  changed("timeline", "chats");
}

function edited(chat, message) {
  chat.timeline.put(message);
  if (chat.lastMessage?.messageId === message.messageId) chat.lastMessage = message;
  changed("timeline", "chats");
}

function deleted(chat, { messageId, seq }) {
  chat.timeline.bury(messageId, seq);
  const last = chat.lastMessage;
  if (last?.messageId === messageId) chat.lastMessage = { ...last, content: null, deletedAt: new Date().toISOString() };
  changed("timeline", "chats");
}

function memberChanged(chat, change, info) {
  const { customerId, username, role } = change;
  const before = chat.members ? chat.members.find((one) => one.customerId === customerId) ?? null : undefined;
  chat.members &&= chat.members.filter((one) => one.customerId !== customerId);
  if (role === null) quiet(chat, customerId);
  else chat.members?.push({ customerId, username, role });
  if (role !== null && customerId === state.me.customerId) Object.assign(chat, { role, changedAt: performance.now() });
  notice(chat, { seq: info.seq, type: "member", change, by: info.customerId, before }, info);
  changed("people", "current");
}

function chatChanged(chat, change, info) {
  const { chatName, topic = null } = change;
  notice(chat, { seq: info.seq, type: "chat", change, by: info.customerId, before: chat.told }, info);
  chat.told = { chatName, topic };
  Object.assign(chat, { chatName, topic, changedAt: performance.now() });
  changed("current");
}

/** A user has another name. */
function renamed({ customerId, username }) {
  if (customerId === state.me.customerId) state.me = { ...state.me, username };
  for (const chat of state.chats.values()) {
    chat.members &&= chat.members.map((one) => (one.customerId === customerId ? { ...one, username } : one));
    if (chat.online.has(customerId)) chat.online.set(customerId, username);
    if (chat.lastMessage?.customerId === customerId) chat.lastMessage = { ...chat.lastMessage, username };
    chat.timeline.rename(customerId, username);
  }
  changed("who", "people", "current", "timeline", "chats");
}

/** Shows a change between the messages. */
function notice(chat, one, info) {
  chat.timeline.notice(one);
  const words = chat === currentChat() && !info.replay && wordsOf(chat, one);
  if (words) say(words);
  changed("timeline", "chats");
}

function came(chat, { customerId, username }) {
  const again = chat.online.has(customerId);
  chat.online.set(customerId, username);
  if (!again && customerId !== state.me.customerId) note(chat, `${username} is here`);
  changed("people", "current");
}

function left(chat, { customerId, username }) {
  if (customerId === state.me.customerId) return;
  chat.online.delete(customerId);
  quiet(chat, customerId);
  note(chat, `${username} has left`);
  changed("people", "current");
}

/** Shows for a moment that a user came or left. */
function note(chat, words) {
  chat.note = words;
  clearTimeout(chat.noteTimer);
  chat.noteTimer = setTimeout(() => {
    chat.note = null;
    changed("typing");
  }, NOTE_MS);
  if (chat === currentChat()) say(words);
  changed("typing");
}

function typing(chat, { customerId, username }) {
  if (customerId === state.me.customerId) return;
  clearTimeout(chat.typing.get(customerId)?.timer);
  const timer = setTimeout(() => quiet(chat, customerId), TYPING_MS);
  chat.typing.set(customerId, { username, timer });
  changed("typing");
}

/** Ends the display of a user as typing. */
function quiet(chat, customerId) {
  clearTimeout(chat.typing.get(customerId)?.timer);
  if (chat.typing.delete(customerId)) changed("typing");
}

function hasRead(chat, { customerId, messageId }, go) {
  if (messageId <= (chat.reads.get(customerId) ?? 0)) return;
  chat.reads.set(customerId, messageId);
  if (customerId === state.me.customerId) {
    // The echo of a read position may arrive after the next position was set.
    if (messageId > (chat.lastReadMessageId ?? 0)) chat.lastReadMessageId = messageId;
    chat.recent = chat.recent.filter((id) => id > messageId);
    // The user has read up to the end, perhaps in another window. Otherwise the remaining unread messages are
    // counted, here or by the server.
    if (messageId >= (chat.lastMessage?.messageId ?? 0)) chat.unread = 0;
    else if (chat.timeline.settled) chat.unread = chat.timeline.unread(chat.lastReadMessageId, state.me.customerId);
    else go.refresh();
  }
  changed("timeline", "chats");
}

function connected(chat, online, go) {
  chat.online = new Map(online.map((one) => [one.customerId, one.username]));
  chat.typing.clear();
  // The list may have changed while the page was not connected.
  if (chat.seenConnected) go.refresh();
  chat.seenConnected = true;
  chat.stalled = false;
  if (chat === currentChat()) go.history(chat);
  changed("people", "current", "typing");
}

function outgoing(chat, local) {
  const { pending } = chat.timeline;
  const known = pending.findIndex((one) => one.clientMessageId === local.clientMessageId);
  if (local.state === "sent") {
    if (local.message) chat.timeline.put(local.message);
    chat.timeline.confirm(local.clientMessageId);
  } else if (known < 0) pending.push(local);
  changed("timeline");
}

/** The log has another epoch, as after a restore: everything is read again. */
function reset(chat, client, go) {
  warn("The server was restored from another copy: the history begins again, and may be shorter.");
  chat.timeline = new chat.timeline.constructor(client.outgoing(chat.chatId));
  chat.members = null;
  chat.lastMessage = null;
  chat.recent = [];
  chat.lastReadMessageId = null;
  go.refresh();
  if (chat !== currentChat()) return;
  go.history(chat);
  go.people(chat);
}

function gone(chatId, words, go) {
  const chat = state.chats.get(chatId);
  if (!chat) return;
  // The user's own action needs no notice.
  if (!chat.leaving) tell(`${words} ${chat.chatName}`);
  go.drop(chatId);
  go.refresh();
}

function connection({ state: phase, retryInMs }) {
  const before = state.connection.phase;
  const retryAt = retryInMs === null ? null : Date.now() + retryInMs;
  // A user without chats needs no connection, so the client does not retry.
  const resting = phase === "offline" && retryInMs === null;
  const lost = phase !== "online" && !resting && (before === "online" || state.connection.lost);
  state.connection = { phase, retryAt, lost, restored: phase === "online" && state.connection.lost };
  changed("connection");
}
