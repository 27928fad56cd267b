// The text field: Enter sends, Shift+Enter begins a new line, arrow up edits the user's last message.

import * as actions from "./actions.js";
import { warn } from "./announce.js";
import { attr, h, icon, iconButton, text } from "./dom.js";
import { names } from "./format.js";
import { currentChat, on, state } from "./store.js";

/** Longest message, in bytes of UTF-8: the server's own limit. */
const LIMIT = 16 * 1024;
/** The length, in bytes, from which the remaining bytes are shown. */
const CLOSE = LIMIT * 0.9;
const bytes = new TextEncoder();
const EDITING = "Editing a message";

/** Says so where files are pasted or dropped: an answer by silence looks like a fault. Text with them is taken. */
export function refuseFiles(event, data) {
  if (!data?.types.includes("Files") || data.types.includes("text/plain")) return;
  event.preventDefault();
  if (event.type !== "dragover") warn("Only text can be sent here: no images, no files.");
}

/** Makes the composer; `sent` is called when something was sent, `leave` when one leaves it. */
export function composerView(sent, leave) {
  const area = h("textarea", { id: "composer", rows: "1", dir: "auto", placeholder: "Write a message", "aria-label": "Message", "aria-describedby": "left", autocomplete: "off", enterkeyhint: "send" });
  const left = h("span", { class: "left", id: "left" });
  const button = h("button", { type: "submit", class: "send", "aria-label": "Send", title: "Send (Enter)" }, icon("send"));
  const doing = h("span", {}, EDITING);
  const editing = h("div", { class: "editing", hidden: true }, doing, iconButton("close", "Stop editing", () => stopEditing()));
  const passing = h("p", { class: "passing" });
  const form = h("form", { class: "composer" }, passing, editing, h("div", { class: "box" }, area, left, button));
  let chat = null;
  let edited = null;
  let saving = false;

  function grow() {
    area.style.height = "auto";
    // While it is hidden it has no height to take.
    if (area.scrollHeight > 0) area.style.height = `${area.scrollHeight}px`;
    const used = bytes.encode(area.value).length;
    text(left, used > CLOSE ? `${(LIMIT - used).toLocaleString("en")} bytes left` : "");
    left.classList.toggle("over", used > LIMIT);
    button.disabled = area.value.trim() === "" || used > LIMIT;
  }

  function set(value) {
    area.value = value;
    grow();
  }

  async function submit() {
    if (button.disabled || !chat) return;
    // The first line keeps its indent: it may be code.
    const content = area.value.replace(/^(?:[^\S\n]*\n)+/u, "").trimEnd();
    if (!edited) {
      set("");
      chat.draft = "";
      actions.send(chat, content);
      sent();
      return;
    }
    if (saving) return;
    const message = edited;
    saving = true;
    text(doing, "Saving…");
    const done = content === message.content || await actions.edit(chat, message.messageId, content);
    saving = false;
    text(doing, EDITING);
    if (done && edited === message) stopEditing();
  }

  /** Opens a message for editing; without an argument, the user's last one. */
  function edit(message = chat?.timeline.lastOf(state.me.customerId)) {
    if (!message) return;
    if (!edited) chat.draft = area.value;
    edited = message;
    editing.hidden = false;
    set(message.content);
    attr(area, "aria-label", "Edit the message");
    area.focus();
    area.setSelectionRange(area.value.length, area.value.length);
  }

  function stopEditing() {
    if (!edited) return;
    edited = null;
    editing.hidden = true;
    set(chat?.draft ?? "");
    labels();
    area.focus();
  }

  function labels() {
    attr(area, "aria-label", `Message to ${chat?.chatName ?? ""}`);
  }

  function draw() {
    const shown = currentChat() ?? null;
    if (shown !== chat) {
      if (chat && !edited) chat.draft = area.value;
      [chat, edited, editing.hidden] = [shown, null, true];
      set(chat?.draft ?? "");
    }
    if (!edited) labels();
    const typing = chat ? [...chat.typing.values()].map((one) => one.username) : [];
    const words = typing.length > 0 ? `${names(typing)} ${typing.length === 1 ? "is" : "are"} typing…` : chat?.note ?? "";
    text(passing, words);
    passing.classList.toggle("typing", typing.length > 0);
  }

  area.addEventListener("input", () => {
    grow();
    if (chat && !edited && area.value.trim() !== "") actions.typing(chat);
  });
  area.addEventListener("keydown", (event) => {
    // While a word is being composed (Japanese, Chinese, Korean), Enter and arrows belong to that.
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      submit();
    } else if (event.key === "ArrowUp" && area.value === "" && !edited) {
      event.preventDefault();
      edit();
    } else if (event.key === "Escape") {
      event.stopPropagation();
      if (edited) stopEditing();
      else leave();
    }
  });
  area.addEventListener("paste", (event) => refuseFiles(event, event.clipboardData));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
    area.focus();
  });
  on(["current", "typing"], draw);
  grow();
  return { root: form, edit, focus: () => area.focus() };
}
