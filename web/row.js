// One message in the list.

import { avatar } from "./avatar.js";
import { h, iconButton } from "./dom.js";
import { day, moment, names, sameDay, time } from "./format.js";

/** Messages of one author within this time stand under one name, in milliseconds. */
const TOGETHER_MS = 5 * 60_000;
/** A web address, without the marks of the sentence around it; brackets belong to it in pairs. */
const LINK = /https?:\/\/(?:\([^\s<>"()]*\)|[^\s<>"()])*(?:\([^\s<>"()]*\)|[^\s<>"'.,;:!?()\]}])/gu;
const EMOJI_ONLY = /^(?:\p{Extended_Pictographic}|\p{Emoji_Modifier}|\p{Regional_Indicator}|[\u200d\ufe0f\s])+$/u;
/** Up to this many code units of emoji alone are shown large. */
const LARGE = 24;

/** An empty row; `draw` fills it. */
export const makeRow = () => h("li", { class: "message", tabindex: "-1" });

/**
 * Draws a row, unless it shows the very same already. `item` is {message, before, apart, divider,
 * readers, last}: the message, the one before it, whether notices stand between the two, whether the new
 * ones begin here, who has read up to here, and whether it is one's own latest. `act` has what its buttons do.
 */
export function drawRow(row, item, me, act) {
  const { message, before, apart, divider, readers, last } = item;
  const starts = !before || !sameDay(before.sentAt, message.sentAt);
  const follows = !starts && !apart && !divider && before.customerId === message.customerId
    && before.deletedAt === null && new Date(message.sentAt) - new Date(before.sentAt) < TOGETHER_MS;
  const signature = [message.seq, message.state, message.username, starts && day(message.sentAt), follows, divider, last, readers.join()].join("|");
  if (row.signature === signature && row.content === message.content) return;
  row.signature = signature;
  row.content = message.content;
  row.dataset.id = message.messageId ?? "";
  const mine = message.customerId === me;
  row.className = ["message", follows && "follows", mine && "mine", message.state && `is-${message.state}`].filter(Boolean).join(" ");
  const name = message.username ?? "someone who left";
  row.replaceChildren(...[
    starts && h("div", { class: "day" }, h("span", {}, day(message.sentAt))),
    divider && h("div", { class: "divider" }, h("span", {}, "New")),
    h("div", { class: "line" },
      follows ? h("span", { class: "aside", "aria-hidden": true }, stamp(message)) : avatar(message.customerId, name),
      h("div", { class: "words" },
        h("div", { class: follows ? "unseen" : "head" }, h("bdi", { class: "author" }, name), " ", stamp(message)),
        said(message),
        footing(message, last, readers, act)),
      message.messageId && message.deletedAt === null && tools(message, mine, act)),
  ].filter(Boolean));
}

const stamp = (message) => h("time", { datetime: message.sentAt, title: moment(message.sentAt) }, time(message.sentAt));

/** The text of a message, or the note that it was deleted. */
function said({ content, deletedAt, editedAt }) {
  if (deletedAt !== null) return h("p", { class: "said gone" }, "This message was deleted");
  const large = content.length <= LARGE && EMOJI_ONLY.test(content);
  const edited = editedAt && h("span", { class: "edited", title: `Edited ${moment(editedAt)}` }, "edited");
  return h("p", { class: large ? "said large" : "said", dir: "auto" }, ...linked(content), edited && " ", edited);
}

/** Splits a text into plain text and links for its web addresses. */
function linked(content) {
  const parts = [];
  let end = 0;
  for (const found of content.matchAll(LINK)) {
    parts.push(content.slice(end, found.index));
    parts.push(h("a", { href: found[0], target: "_blank", rel: "noopener noreferrer", dir: "ltr" }, found[0]));
    end = found.index + found[0].length;
  }
  parts.push(content.slice(end));
  return parts.filter((part) => part !== "");
}

/** The delivery state of a message: sending, failed, sent, or read. */
function footing(message, last, readers, act) {
  const { state, error } = message;
  if (state === "sending") return h("p", { class: "footing" }, "Sending…");
  if (state === "failed") {
    return h("p", { class: "footing failed" }, h("span", {}, error ? `Not sent: ${error.message}.` : "Not sent."),
      h("button", { type: "button", class: "link", onclick: () => act.retry(message) }, "Retry"),
      h("button", { type: "button", class: "link", onclick: () => act.discard(message) }, "Discard"));
  }
  if (readers.length > 0) return h("p", { class: "footing" }, `Read by ${names(readers, 3)}`);
  return last ? h("p", { class: "footing" }, "Sent") : null;
}

function tools(message, mine, act) {
  const buttons = [
    mine && iconButton("edit", "Edit", () => act.edit(message), { tabindex: "-1" }),
    (mine || act.mayDelete()) && iconButton("bin", "Delete", () => act.remove(message), { tabindex: "-1" }),
  ].filter(Boolean);
  return buttons.length > 0 && h("div", { class: "tools" }, buttons);
}
