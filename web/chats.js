// The chats of the user: the list from REST, merged with the events of the socket.

import * as api from "./api.js";
import { tell, warn } from "./announce.js";
import { listen } from "./events.js";
import { Messaging } from "./messaging.js";
import { state, changed } from "./store.js";
import { Timeline } from "./timeline.js";

/** The most chats that are connected at the start. A socket takes 100; the rest is for chats opened later. */
const FOLLOWED = 80;
/** The time between two reads of the list, in milliseconds. The socket does not announce new memberships. */
const REFRESH_MS = 10_000;
/** The number of messages loaded at a time. */
const PAGE = 100;
/** The most messages of one page, which is the limit of the server. */
const LONGEST_PAGE = 1000;
/** The most changes that are read for the notices between the messages of a chat that is opened. */
const NOTICED = 500;

let client = null;
let timer = null;
let refreshing = null;

/** Starts the client of the present user. `ended` is called when the session ends. */
export function begin(token, ended) {
  const { customerId, username } = state.me;
  const who = token === null ? { customerId, username } : { customerId, token };
  client = new Messaging({ ...who, storage: sessionStorage, maxBackoffMs: 10_000 });
  listen(client, { ended, refresh, drop, people, history });
  timer = setInterval(() => !document.hidden && state.connection.phase !== "waiting" && refresh(), REFRESH_MS);
  return refresh();
}

/** Stops the client, before another user takes over. */
export function stop() {
  clearInterval(timer);
  client?.close();
  client = null;
}

/** The connection of the present user. */
export const connection = () => client;

/** Reads the list again. Concurrent calls share one read. */
export function refresh() {
  refreshing ??= load().finally(() => (refreshing = null));
  return refreshing;
}

async function load() {
  const mine = client;
  const begun = performance.now();
  let rows;
  let all = [];
  try {
    rows = await api.chatsOf(state.me.customerId);
    if (state.mode === "open") all = await api.chats();
  } catch (error) {
    if (error.code === "unreachable" && mine === client && !state.ready) setTimeout(() => mine === client && refresh(), 2_000);
    return;
  }
  if (mine !== client) return;
  const listed = new Set(rows.map((row) => row.chatId));
  for (const [id, chat] of state.chats) {
    if (listed.has(id)) continue;
    // The chat was not connected, so no event announced its end.
    if (!chat.leaving) tell(`You are no longer in ${chat.chatName}`);
    drop(id);
  }
  for (const row of rows) take(row, begun);
  state.others = all.filter((chat) => !listed.has(chat.chatId));
  state.ready = true;
  for (const row of rows.slice(0, FOLLOWED)) follow(row.chatId);
  changed("chats", "current");
}

/** Takes a row of the list that was asked for at `begun`. */
function take({ topic = null, ...listed }, begun) {
  const row = { ...listed, topic };
  let chat = state.chats.get(row.chatId);
  if (!chat) {
    chat = { timeline: new Timeline(client.outgoing(row.chatId)), online: new Map(), typing: new Map(), reads: new Map(), members: null, recent: [], divider: null, draft: "", note: null, told: { chatName: row.chatName, topic }, changedAt: 0 };
    state.chats.set(row.chatId, chat);
  }
  const last = row.lastMessage;
  const newer = chat.lastMessage && last && chat.lastMessage.messageId > last.messageId ? chat.lastMessage : last;
  chat.recent = chat.recent.filter((id) => id > (last?.messageId ?? 0));
  // The list does not have a read position that is still being sent.
  const ahead = (chat.lastReadMessageId ?? 0) > (row.lastReadMessageId ?? 0);
  const read = ahead ? { lastReadMessageId: chat.lastReadMessageId, unread: chat.unread } : { unread: (row.unread ?? 0) + chat.recent.length };
  // The row may have been read before a change that came meanwhile.
  const { chatName, role } = chat.changedAt > begun ? chat : row;
  const changes = { chatName, role, topic: chat.changedAt > begun ? chat.topic : topic };
  Object.assign(chat, row, { lastMessage: newer, ...read, ...changes });
}

function follow(chatId) {
  const chat = state.chats.get(chatId);
  if (chat.followed) return chat.followed;
  chat.followed = client.connect(chatId).catch((error) => {
    chat.followed = null;
    if (error.code !== "chat_not_found") return;
    if (!chat.leaving && state.chats.has(chatId)) tell(`You are no longer in ${chat.chatName}`);
    drop(chatId);
  });
  return chat.followed;
}

/** Takes a chat out of the list. */
export function drop(chatId) {
  if (!state.chats.delete(chatId)) return;
  client?.leave(chatId).catch(() => {});
  changed("chats", "current");
}

/** Opens a chat: connects it, and loads its newest messages and its members. */
export async function open(chatId) {
  const chat = state.chats.get(chatId);
  // Messages from the first unread one on are marked as new until another chat is opened.
  chat.arrived = chat.unread;
  chat.divider = chat.arrived > 0 && chat.timeline.settled ? lastRead(chat, chat.arrived) : null;
  changed("current", "timeline", "people", "typing");
  await Promise.all([follow(chatId), history(chat), people(chat)]);
}

/** Loads the newest page at once, and again once connected. Later changes come by the socket. */
async function history(chat) {
  if (chat.timeline.settled || chat.loading) return;
  chat.loading = true;
  const connected = chat.seenConnected;
  await newest(chat, connected);
  if (!connected) {
    await chat.followed;
    await newest(chat, true);
  }
  chat.loading = false;
  changed("timeline");
  if (chat.timeline.settled) await past(chat);
}

/**
 * Loads the latest changes of the members and of the chat since the first loaded message. Every number stands for one
 * thing at most, so that NOTICED numbers before the head are NOTICED changes at most.
 */
async function past(chat) {
  const { messages, complete } = chat.timeline;
  const first = complete ? 0 : Math.min(...messages.map((message) => message.seq)) - 1;
  const head = client?.seen(chat.chatId) ?? 0;
  try {
    const frames = await api.changes(chat.chatId, Math.max(0, first, head - NOTICED));
    for (const { type, content, customerId, seq } of frames) {
      chat.timeline.notice({ seq, type: type === "update-member" ? "member" : "chat", change: content, by: customerId });
    }
    changed("timeline");
  } catch {
    // The messages are shown without the notices.
  }
}

async function newest(chat, settled) {
  try {
    // The page includes the first unread message and some messages before it.
    const most = Math.min(LONGEST_PAGE, PAGE + (chat.arrived ?? 0));
    const { page, complete } = await api.messages(chat.chatId, null, most);
    chat.timeline.load(page, complete, settled);
    if (chat.arrived > 0) chat.divider ??= lastRead(chat, chat.arrived);
    chat.problem = null;
  } catch (error) {
    chat.problem = error.message;
  }
  changed("timeline");
}

/** The id after which `unread` messages of other users follow. They are counted from the end. */
function lastRead({ timeline: { messages }, lastReadMessageId }, unread) {
  if (lastReadMessageId !== null) return lastReadMessageId;
  const foreign = messages.filter((one) => one.customerId !== state.me.customerId && one.deletedAt === null);
  const first = foreign.at(-unread) ?? foreign[0];
  return (first?.messageId ?? 1) - 1;
}

/** Loads a page of older messages. */
export async function older(chat) {
  const { timeline } = chat;
  if (!timeline.settled || timeline.complete || chat.loading) return;
  chat.loading = true;
  changed("timeline");
  try {
    const { page, complete } = await api.messages(chat.chatId, timeline.messages[0]?.messageId, PAGE);
    timeline.prepend(page, complete);
  } catch (error) {
    // There is no automatic retry: the user scrolls, or the connection comes back.
    chat.stalled = true;
    warn(error.message);
  }
  chat.loading = false;
  changed("timeline");
}

/** Loads the members of a chat. Later changes come by the socket, but for new names of users. */
async function people(chat) {
  try {
    chat.members = await client.members(chat.chatId, { reload: chat.members !== null });
    changed("people", "current", "timeline");
  } catch (error) {
    // The known members stay. They are loaded again when the chat is opened again. A chat beyond the number that a
    // socket takes has no connection.
    if (error.code !== "not_connected" || !state.chats.has(chat.chatId)) return;
    chat.members = await api.members(chat.chatId).catch(() => chat.members);
    changed("people", "current");
  }
}
