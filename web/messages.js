// The list of messages. The page holds a window of at most MOST rows. The window moves as the user
// scrolls, and the visible rows stay in place.

import { older } from "./chats.js";
import { h, icon, reconcile, text } from "./dom.js";
import { count, since } from "./format.js";
import { drawNotices, linesAfter, makeNotices } from "./notices.js";
import { drawRow, makeRow } from "./row.js";
import { currentChat, changed, on, state } from "./store.js";

/** The most rows in the page. */
const MOST = 160;
/** The number of rows at first, and the number added at a time. */
const FIRST = 60;
const STEP = 50;
/** The window moves if the view is nearer than this to its end, in pixels. */
const EDGE = 900;
/** The distance that still counts as at the end, in pixels. */
const NEAR = 48;

/** The number of messages shown above the first unread one when a chat is opened. */
const CONTEXT = 10;

/** Makes the list. `act` has the actions of rows. `sees` is called with the last message in view. */
export function messagesView(act, sees) {
  const list = h("ol", { class: "messages" });
  const head = h("div", { class: "beginning" }, h("h2", { dir: "auto" }), h("p"));
  const scroller = h("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": "Messages" }, head, list);
  const latest = h("button", { type: "button", class: "latest", hidden: true, onclick: toEnd }, icon("down"), h("span"));
  const blank = h("div", { class: "blank", hidden: true });
  const root = h("div", { class: "timeline" }, scroller, blank, latest);
  // The window: `from` and `to` are message ids. If `from` is null, the window begins FIRST messages before its
  // end; if `to` is null, it ends with the newest message.
  let [chat, from, to, stuck, seen] = [null, null, null, true, 0];
  /** Whether the chat was just opened and has to be scrolled to its first unread message. */
  let opening = false;

  function bounds(timeline) {
    const { messages } = timeline;
    let end = to === null ? messages.length : timeline.indexOf(to) + 1;
    let start = from === null ? Math.max(0, end - FIRST) : timeline.indexOf(from);
    if (end - start > MOST && stuck) start = end - FIRST;
    if (end - start > MOST) {
      end = start + MOST;
      to = messages[end - 1].messageId;
    }
    from = messages[start]?.messageId ?? null;
    return { start, end };
  }

  function items({ messages, pending }, { start, end }) {
    const me = state.me.customerId;
    const own = chat.timeline.lastOf(me);
    const readers = readersByRow(chat);
    const divider = chat.divider === null ? -1 : messages.findIndex((one) => one.messageId > chat.divider && one.customerId !== me);
    const rows = [];
    const tell = (before) => {
      const lines = linesAfter(chat, before);
      if (lines.length > 0) rows.push({ lines, before });
      return lines.length > 0;
    };
    let apart = start === 0 && tell();
    for (let n = start; n < end; n += 1) {
      const message = messages[n];
      rows.push({
        message,
        before: messages[n - 1],
        apart,
        divider: n === divider,
        readers: readers.get(message.messageId) ?? [],
        last: message === own && message === messages.at(-1) && pending.length === 0,
      });
      apart = tell(message);
    }
    if (to !== null) return rows;
    let before = messages[end - 1];
    for (const local of pending) {
      const message = { ...local, messageId: null, customerId: me, username: state.me.username, sentAt: new Date(local.createdAt).toISOString(), deletedAt: null, editedAt: null };
      rows.push({ message, before, apart, divider: false, readers: [], last: false });
      [before, apart] = [message, false];
    }
    return rows;
  }

  function draw() {
    const shown = currentChat() ?? null;
    if (shown !== chat) {
      [chat, from, to, stuck, seen, opening] = [shown, null, null, true, 0, true];
      list.replaceChildren();
    }
    if (!chat) return;
    const { timeline } = chat;
    const first = opening && timeline.loaded ? standAtFirst(timeline) : null;
    const anchor = stuck ? null : anchored();
    const range = bounds(timeline);
    const rows = items(timeline, range);
    reconcile(list, rows, key, (item) => (item.lines ? makeNotices() : makeRow()),
      (row, item) => (item.lines ? drawNotices(row, item) : drawRow(row, item, state.me.customerId, act)));
    drawBeginning(timeline, range.start);
    drawBlank(rows.filter(({ message }) => message).length);
    if (stuck) scroller.scrollTop = scroller.scrollHeight;
    else if (first !== null) list.querySelector(`[data-id="${first}"]`)?.scrollIntoView({ block: "start" });
    else if (anchor?.row.isConnected) scroller.scrollTop += anchor.row.getBoundingClientRect().top - anchor.top;
    // At the very top there is no scroll event that would load older messages.
    moveWindow();
    mark();
  }

  /** Moves the window to the first unread message and returns its id; null if all are read. */
  function standAtFirst(timeline) {
    opening = false;
    const me = state.me.customerId;
    const at = chat.divider === null ? -1 : timeline.messages.findIndex((one) => one.messageId > chat.divider && one.customerId !== me);
    if (at < 0) return null;
    [stuck, seen] = [false, chat.divider];
    from = timeline.messages[Math.max(0, at - CONTEXT)].messageId;
    return timeline.messages[at].messageId;
  }

  function drawBeginning(timeline, start) {
    const begins = timeline.complete && start === 0 && timeline.messages.length > 0;
    text(head.firstElementChild, begins ? chat.chatName : "");
    text(head.lastElementChild, begins ? `This is where it begins. The chat was made ${since(chat.createdAt)}.` : chat.loading && timeline.loaded ? "Loading older messages…" : "");
  }

  function drawBlank(rows) {
    blank.hidden = rows > 0;
    const words = chat.timeline.loaded ? ["No messages yet", "Write the first one."] : chat.problem ? ["The messages could not be loaded", chat.problem] : ["", "Loading…"];
    if (rows === 0) blank.replaceChildren(h("h2", {}, words[0]), h("p", {}, words[1]));
  }

  /** The first row in view, and its position. */
  function anchored() {
    const line = scroller.scrollTop;
    for (const row of list.children) if (row.offsetTop + row.offsetHeight > line) return { row, top: row.getBoundingClientRect().top };
    return null;
  }

  const lastInSight = () => [...list.children].findLast((row) => row.offsetTop < scroller.scrollTop + scroller.clientHeight - NEAR);

  /** The id of the last message with its end in view. If a long message fills the view, its id. 0 if there is none. */
  function lastRead() {
    const line = scroller.scrollTop + scroller.clientHeight;
    const whole = [...list.children].findLast((row) => row.offsetTop + row.offsetHeight <= line + 1);
    return Number((whole ?? lastInSight())?.dataset.id) || 0;
  }

  const toBottom = () => scroller.scrollHeight - scroller.clientHeight - scroller.scrollTop;

  /** Reports the last message in view as read, and updates the button with the number of new messages below. */
  function mark() {
    const newest = chat.timeline.messages.at(-1)?.messageId ?? 0;
    const last = stuck ? newest : lastRead();
    seen = Math.max(seen, last);
    if (last > 0 && document.visibilityState === "visible" && document.hasFocus()) sees(chat, last);
    const below = chat.timeline.messages.length - chat.timeline.indexOf(seen + 1);
    latest.hidden = stuck || toBottom() < 2 * NEAR && to === null;
    text(latest.lastElementChild, below > 0 ? count(below, "new message") : "Latest");
  }

  function scrolled() {
    if (!chat) return;
    stuck = to === null && toBottom() < NEAR;
    chat.stalled = false;
    moveWindow();
    mark();
  }

  /** Moves the window if the view is near its end. Near the oldest loaded message it loads older ones. */
  function moveWindow() {
    const { messages, complete } = chat.timeline;
    const start = chat.timeline.indexOf(from ?? 0);
    const end = to === null ? messages.length : chat.timeline.indexOf(to) + 1;
    if (scroller.scrollTop < EDGE && start > 0) {
      from = messages[Math.max(0, start - STEP)].messageId;
      const last = chat.timeline.indexOf(from) + MOST;
      if (last < end) to = messages[last - 1].messageId;
      changed("timeline");
    } else if (scroller.scrollTop < EDGE && !complete && !chat.stalled) older(chat);
    if (to !== null && toBottom() < EDGE) {
      const last = Math.min(messages.length, end + STEP);
      to = last === messages.length ? null : messages[last - 1].messageId;
      from = messages[Math.max(chat.timeline.indexOf(from ?? 0), last - MOST)].messageId;
      changed("timeline");
    }
  }

  /** Shows the newest message. */
  function toEnd() {
    [from, to, stuck] = [null, null, true];
    draw();
  }

  /** Moves the focus to the next or previous row, or to the last one in view if no row has the focus. */
  function step(by) {
    const row = document.activeElement?.closest?.(".messages > li");
    const next = row && list.contains(row) ? (by < 0 ? row.previousElementSibling : row.nextElementSibling) : lastInSight();
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
    return Boolean(next);
  }

  scroller.addEventListener("scroll", scrolled, { passive: true });
  new ResizeObserver(() => stuck && (scroller.scrollTop = scroller.scrollHeight)).observe(scroller);
  for (const type of ["focus", "visibilitychange"]) (type === "focus" ? window : document).addEventListener(type, () => chat && mark());
  on(["timeline", "current"], draw);
  return { root, scroller, toEnd, step };
}

/** The key of a row. The user's own rows keep their element when the server confirms them. */
const key = ({ message, before }) =>
  !message ? `notices:${before?.messageId ?? 0}` : message.clientMessageId ? `${message.customerId}:${message.clientMessageId}` : message.messageId;

/** The names of the users who have read up to a message, by message id. */
function readersByRow(chat) {
  const rows = new Map();
  for (const [customerId, messageId] of chat.reads) {
    if (customerId === state.me.customerId) continue;
    const name = chat.members?.find((one) => one.customerId === customerId)?.username ?? chat.online.get(customerId);
    const at = chat.timeline.messages[chat.timeline.indexOf(messageId + 1) - 1];
    // Every user has read their own messages, so this is not shown.
    if (!name || !at || at.customerId === customerId) continue;
    rows.set(at.messageId, [...(rows.get(at.messageId) ?? []), name]);
  }
  return rows;
}
