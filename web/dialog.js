// Dialogs: the browser's modal dialog with a heading, fields, an error text, and two buttons.

import { attr, h, iconButton, text } from "./dom.js";

/**
 * Gives the focus back to a field that had it before a dialog. The browser does so by itself, but leaves
 * the caret in the field of the dialog that is gone: then the field has the focus and takes no key.
 */
function regain(element) {
  if (!(element instanceof HTMLElement) || !element.isConnected) return;
  const now = document.activeElement;
  if (now !== element && now !== document.body && now !== null) return;
  element.blur();
  element.focus({ preventScroll: true });
}

/** Opens a dialog with these contents; it is gone when it closes, and the focus is where it was. */
export function open(title, contents, kind = "") {
  const before = document.activeElement;
  const name = `dialog-${Date.now()}`;
  const heading = h("h2", { id: name, dir: "auto", tabindex: "-1" }, title);
  const dialog = h("dialog", { class: kind, "aria-labelledby": name });
  const close = () => dialog.close();
  dialog.append(h("header", {}, heading, iconButton("close", "Close", close)), ...contents(close));
  dialog.addEventListener("close", () => {
    dialog.remove();
    regain(before);
  });
  // A click outside the dialog closes it.
  dialog.addEventListener("pointerdown", (event) => event.target === dialog && close());
  document.body.append(dialog);
  dialog.showModal();
  // The caller may set the focus to another element.
  heading.focus();
  return dialog;
}

/** A text field with its label above it. */
export function field(label, name, props = {}) {
  return h("label", { class: "field" }, h("span", {}, label), h("input", { name, required: true, autocomplete: "off", dir: "auto", ...props }));
}

/**
 * A form that calls `act` with its values, and shows the error if `act` fails. Its last button has the
 * label `button` and is disabled while `act` runs.
 */
export function form(fields, button, act, { danger = false, cancel = null } = {}) {
  const problem = h("p", { class: "problem", role: "alert" });
  const submit = h("button", { type: "submit", class: danger ? "main danger" : "main" }, button);
  const element = h("form", { novalidate: true }, fields, problem,
    h("div", { class: "buttons" }, cancel && h("button", { type: "button", onclick: cancel }, "Cancel"), submit));
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    const inputs = [...element.querySelectorAll("input[required]")];
    for (const input of inputs) attr(input, "aria-invalid", input.value.trim() === "" || null);
    const empty = inputs.find((input) => input.value.trim() === "");
    if (empty) {
      text(problem, "Please fill this in.");
      empty.focus();
      return;
    }
    text(problem, "");
    submit.disabled = true;
    try {
      await act(Object.fromEntries(new FormData(element)));
    } catch (error) {
      text(problem, error.message);
    }
    submit.disabled = false;
  });
  return element;
}

/** Asks for one text, such as a name. */
export function askText(title, label, value, button, act) {
  open(title, (close) => [
    form([field(label, "text", { value, maxlength: "255" })], button, async (typed) => {
      await act(typed.text);
      close();
    }, { cancel: close }),
  ]).querySelector("input").select();
}

/** Asks for the confirmation of an action that cannot be undone. */
export function confirm(title, words, button, act) {
  open(title, (close) => [
    h("p", {}, words),
    form([], button, async () => {
      await act();
      close();
    }, { danger: true, cancel: close }),
  ]).querySelector("[type=submit]").focus();
}

/**
 * Lets the user pick from a list that is filtered by typing. `rows` are {key, name, detail?, sign?}.
 * `act` is called with the picked row. Arrows move, Enter picks.
 */
export function pick(title, label, rows, act, none) {
  open(title, (close) => {
    const list = h("ul", { class: "picks", role: "listbox", "aria-label": title, id: "picks" });
    const problem = h("p", { class: "problem", role: "alert" });
    const nothing = h("p", { class: "note", role: "status" });
    const input = h("input", { type: "search", "aria-label": label, placeholder: label, autocomplete: "off", dir: "auto", role: "combobox", "aria-controls": "picks", "aria-expanded": "true", "aria-autocomplete": "list" });
    let shown = [];
    let chosen = 0;
    const choose = async (row) => {
      try {
        await act(row);
        close();
      } catch (error) {
        text(problem, error.message);
      }
    };
    const draw = () => {
      const typed = input.value.trim().toLocaleLowerCase();
      shown = rows.filter((row) => row.name.toLocaleLowerCase().includes(typed)).slice(0, 50);
      chosen = Math.max(0, Math.min(chosen, shown.length - 1));
      list.replaceChildren(...shown.map((row, n) => h("li", { role: "option", id: `pick-${n}`, "aria-selected": String(n === chosen), onclick: () => choose(row) },
        row.sign?.(), h("bdi", {}, row.name), row.detail && h("span", { class: "detail" }, row.detail))));
      if (shown.length > 0) input.setAttribute("aria-activedescendant", `pick-${chosen}`);
      else input.removeAttribute("aria-activedescendant");
      text(nothing, shown.length === 0 ? none : "");
      list.hidden = shown.length === 0;
      list.children[chosen]?.scrollIntoView({ block: "nearest" });
    };
    input.addEventListener("input", () => {
      chosen = 0;
      draw();
    });
    input.addEventListener("keydown", (event) => {
      const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      // Without this, a search field would use the Escape key to clear itself.
      if (event.key === "Escape") close();
      else if (event.key === "Enter" && shown[chosen]) choose(shown[chosen]);
      else if (by) chosen += by;
      else return;
      event.preventDefault();
      draw();
    });
    draw();
    return [input, list, nothing, problem];
  }, "picker").querySelector("input").focus();
}
