// The user of the page. It is kept in sessionStorage, not in localStorage: a token ends with its tab and
// is not left behind on a shared machine, and two tabs can be two users, so that one person can try a
// chat. A reload keeps the user.

import * as api from "./api.js";
import { forget, state, changed } from "./store.js";

const KEY = "who";

/** Called when the server refuses the token, because the session has ended. */
let onEnded = () => {};
let token = null;

/** The bearer token, or null in open mode. */
export const currentToken = () => token;

/** Sets the listener for a session that the server ended. */
export function whenEnded(listener) {
  onEnded = listener;
}

/** Restores the user that the tab has kept. Resolves to false if there is none. */
export async function resume() {
  const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
  if (!kept || (kept.token === null) !== (state.mode === "open")) return false;
  token = kept.token;
  api.authorize(token, onEnded);
  try {
    const user = token === null ? await api.user(kept.user.customerId) : await api.me();
    become(user, token);
  } catch (error) {
    // An unreachable server: the page keeps the user and waits. A refusal: the page asks for the user again.
    if (error.code !== "unreachable" && error.status < 500) {
      end();
      return false;
    }
    become(kept.user, token);
  }
  return true;
}

/** Open mode: becomes this user. */
export const choose = (user) => become(user, null);

/** Open mode: creates a user and becomes it. Open mode asks for no password, so the password is random. */
export async function create(username) {
  choose(await api.signUp(username, crypto.randomUUID()));
}

/** Required mode: logs in. If a new password is given, it replaces the old one. */
export async function logIn(username, password, newPassword) {
  const { token: issued, user } = await api.logIn(username, password, newPassword);
  become(user, issued);
}

/** Required mode: signs up and logs in. */
export async function signUp(username, password) {
  await api.signUp(username, password);
  await logIn(username, password);
}

/** Ends the session on the page and, if the server can be reached, on the server. */
export async function logOut() {
  const ended = token === null ? null : api.logOut().catch(() => {});
  await ended;
  end();
}

/** Ends the session on the page. */
export function end() {
  sessionStorage.removeItem(KEY);
  token = null;
  api.authorize(null);
  forget();
}

function become(user, issued) {
  token = issued;
  api.authorize(token, onEnded);
  sessionStorage.setItem(KEY, JSON.stringify({ user, token }));
  state.me = user;
  changed("who");
}
