// The notices between the messages: members who came, went or got another role, and a chat that was
// renamed or got another topic. A notice is {seq, type, change, by, before}: the number of the change, the
// event of the client library, its content, the user who made it (null if not known), and the state before
// it (undefined if not known).

import { h } from "./dom.js";
import { state } from "./store.js";

/** The most lines shown between two messages. The earlier ones are counted. */
const MOST = 5;

/** The parts of a line: texts, and names as `{name}`. Names may be written from right to left. */
const line = (texts, ...names) =>
  texts.flatMap((text, n) => [text, names[n]]).filter((part) => part !== undefined && part !== "");

const isMe = (id) => id === state.me.customerId;

/** The name of a user, as far as the page has met it. */
function nameOf(chat, id) {
  const member = chat.members?.find((one) => one.customerId === id)?.username ?? chat.online.get(id);
  return member ?? chat.timeline.nameOf(id) ?? "Someone";
}

/** A user as the subject of a line, and as its object. */
const subject = (id, name) => (isMe(id) ? "You" : { name });
const object = (id, name) => (isMe(id) ? "you" : { name });

/** The user who made a change as the subject of a line; null if the change names none. */
const actor = (chat, by) => (by === null ? null : subject(by, nameOf(chat, by)));

/**
 * Whether a change of a membership made it. If the state before is not known, the time tells: a user who joined
 * after the message before the notice was not yet a member then.
 */
function isNew({ change, before }, message) {
  if (before === null) return true;
  // A state with the same role was read after the change.
  if (before !== undefined && before.role !== change.role) return false;
  return !message || change.joinedAt >= message.sentAt;
}

function memberLines(chat, notice, message) {
  const { change: { customerId, username, role }, by, before } = notice;
  const name = username ?? before?.username ?? "Someone";
  const [who, whoThen, are] = [subject(customerId, name), object(customerId, name), isMe(customerId) ? "are" : "is"];
  const [self, acts] = [by === customerId, actor(chat, by)];
  if (role === null) {
    if (self) return [line`${who} left`];
    return [acts ? line`${acts} removed ${whoThen}` : line`${who} ${are} no longer a member`];
  }
  if (!isNew(notice, message)) {
    return [role === "admin" ? line`${who} ${are} an admin now` : line`${who} ${are} no longer an admin`];
  }
  const as = role === "admin" ? " as an admin" : "";
  if (self) return [line`${who} joined${as}`];
  return [acts ? line`${acts} added ${whoThen}${as}` : line`${who} ${isMe(customerId) ? "were" : "was"} added${as}`];
}

function chatLines(chat, { change: { chatName, topic = null }, by, before }) {
  const acts = actor(chat, by);
  if (before === undefined) return [acts ? line`${acts} changed the chat` : line`The chat was changed`];
  const [name, about] = [{ name: chatName }, { name: topic }];
  const lines = [];
  if (before.chatName !== chatName) lines.push(acts ? line`${acts} renamed the chat to ${name}` : line`The chat was renamed to ${name}`);
  if (before.topic === topic) return lines;
  if (topic === null) lines.push(acts ? line`${acts} removed the topic` : line`The topic was removed`);
  else lines.push(acts ? line`${acts} set the topic: ${about}` : line`The topic is now: ${about}`);
  return lines;
}

/** The lines of a notice. `message` is the message before it. */
function linesOf(chat, notice, message) {
  return notice.type === "member" ? memberLines(chat, notice, message) : chatLines(chat, notice);
}

const plain = (parts) => parts.map((part) => part.name ?? part).join("");

/** The words of a notice that has just come, for screen readers; empty if there is nothing to say. */
export const wordsOf = (chat, notice) => linesOf(chat, notice, chat.timeline.messages.at(-1)).map(plain).join(". ");

/** An empty row; `drawNotices` fills it. */
export const makeNotices = () => h("li", { class: "notice", tabindex: "-1" });

/** The lines of the notices after a message; empty if there is nothing to say. */
export const linesAfter = (chat, before) =>
  (chat.timeline.notices.get(before?.messageId ?? 0) ?? []).flatMap((notice) => linesOf(chat, notice, before));

/** Draws the lines after a message, unless the row shows them already. */
export function drawNotices(row, { lines, before }) {
  const signature = lines.map(plain).join("\n");
  row.dataset.id = before?.messageId ?? "";
  if (row.signature === signature) return;
  row.signature = signature;
  const left = lines.length - MOST;
  const shown = left > 0 ? [[`${left + 1} earlier changes`], ...lines.slice(1 - MOST)] : lines;
  row.replaceChildren(...shown.map((parts) => h("p", {}, parts.map((part) => (part.name === undefined ? part : h("bdi", {}, part.name))))));
}
