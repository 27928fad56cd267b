// The page before the chats. In open mode the user picks a name; in required mode the user logs in or signs up.

import { avatar } from "./avatar.js";
import * as api from "./api.js";
import { field, form } from "./dialog.js";
import { h } from "./dom.js";
import * as session from "./session.js";
import { state } from "./store.js";
import { themeButton } from "./theme-switch.js";

/** If there are more users than this, the list has a search field. */
const MANY = 8;

/** Makes the page before the chats. `done` is called when the user is known. */
export function welcomeView(done, notice = "") {
  const card = h("section", { class: "card" });
  const mark = h("img", { class: "mark", src: "/icon.svg", alt: "" });
  const root = h("main", { class: "welcome" }, h("div", { class: "corner" }, themeButton()), card);
  card.append(mark);
  if (state.mode === "open") openMode(card, done);
  else requiredMode(card, done, notice, false);
  return root;
}

function openMode(card, done) {
  const list = h("ul", { class: "folk" });
  const search = h("input", { type: "search", "aria-label": "Find a name", placeholder: "Find a name", hidden: true, dir: "auto", autocomplete: "off" });
  const nobody = h("p", { class: "note", role: "status" });
  const problem = h("p", { class: "problem", role: "alert" });
  card.append(h("h1", { tabindex: "-1" }, "Who are you?"),
    h("p", { class: "lead" }, "This server runs in open mode: pick a name, no password needed."),
    search, list, nobody, problem,
    h("h2", {}, "Somebody new"),
    form([field("Your name", "username", { maxlength: "255" })], "Start chatting", async ({ username }) => {
      await session.create(username.trim());
      done();
    }));
  const row = (user) => h("li", {}, h("button", { type: "button", onclick: () => { session.choose(user); done(); } }, avatar(user.customerId, user.username, { small: true }), h("bdi", {}, user.username)));
  const load = async () => {
    try {
      const users = await api.users();
      const draw = () => {
        const typed = search.value.trim().toLocaleLowerCase();
        const found = users.filter((user) => user.username.toLocaleLowerCase().includes(typed));
        list.replaceChildren(...found.slice(0, 60).map(row));
        list.hidden = found.length === 0;
        nobody.textContent = users.length > 0 && found.length === 0 ? "Nobody of that name." : "";
      };
      search.hidden = users.length <= MANY;
      search.addEventListener("input", draw);
      problem.replaceChildren();
      draw();
    } catch (error) {
      problem.replaceChildren(error.message, " ", h("button", { type: "button", class: "link", onclick: load }, "Try again"));
    }
  };
  load();
}

function requiredMode(card, done, notice, isNew) {
  const act = isNew ? session.signUp : session.logIn;
  const password = field("Password", "password", { type: "password", autocomplete: isNew ? "new-password" : "current-password", dir: "ltr" });
  // Asked for where the password is from before everyone signed in, and weaker than one may be now.
  const renewed = field("New password", "newPassword", { type: "password", autocomplete: "new-password", dir: "ltr" });
  const other = h("button", { type: "button", class: "link", onclick: () => {
    card.replaceChildren(card.firstElementChild);
    requiredMode(card, done, "", !isNew);
    card.querySelector("input").focus();
  } }, isNew ? "Log in" : "Create an account");
  card.append(h("h1", {}, isNew ? "Create an account" : "Log in"),
    h("p", { class: "lead", role: notice ? "status" : null }, notice || (isNew ? "Pick a name that others will know you by, and a password of at least 8 characters." : "Good to see you.")),
    form([field("Name", "username", { autocomplete: "username", maxlength: "255" }), password], isNew ? "Create account" : "Log in", async (typed) => {
      try {
        await act(typed.username.trim(), typed.password, typed.newPassword);
      } catch (error) {
        if (error.code !== "password_change_required") throw error;
        password.after(renewed);
        renewed.querySelector("input").focus();
        throw new Error("Your password is too short or too easy to guess. Choose a new one.");
      }
      done();
    }),
    h("p", { class: "switch" }, isNew ? "Already have one? " : "New here? ", other));
}
