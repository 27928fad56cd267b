// Who uses the page. It is kept in sessionStorage, not in localStorage: a token ends with its tab and
// is not left behind on a shared machine, and two tabs can be two people, which is how one tries a
// chat alone. A reload keeps it.

import * as api from "./api.js";
import { forget, state, changed } from "./store.js";

const KEY = "who";

/** Called when the server does not know the session any more. */
let onEnded = () => {};
let token = null;

/** The bearer token, or null in open mode. */
export const currentToken = () => token;

/** Sets what happens when the session ends by itself. */
export function whenEnded(listener) {
  onEnded = listener;
}

/** Takes up what the tab has kept; true where somebody is here. */
export async function resume() {
  const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
  if (!kept || (kept.token === null) !== (state.mode === "open")) return false;
  token = kept.token;
  api.authorize(token, onEnded);
  try {
    const user = token === null ? await api.user(kept.user.customerId) : await api.me();
    become(user, token);
  } catch (error) {
    // Not there: the page waits for the server with what it knows. Refused: it asks again who one is.
    if (error.code !== "unreachable" && error.status < 500) {
      end();
      return false;
    }
    become(kept.user, token);
  }
  return true;
}

/** Open mode: be this user. */
export const choose = (user) => become(user, null);

/** Open mode: make a user and be it. Nobody is asked for a password there, so nobody has to know it. */
export async function create(username) {
  choose(await api.signUp(username, crypto.randomUUID()));
}

/** Required mode; where a new password is given, it takes the other's place. */
export async function logIn(username, password, newPassword) {
  const { token: issued, user } = await api.logIn(username, password, newPassword);
  become(user, issued);
}

/** Required mode. */
export async function signUp(username, password) {
  await api.signUp(username, password);
  await logIn(username, password);
}

/** Ends the session here and, as far as it can be reached, on the server. */
export async function logOut() {
  const ended = token === null ? null : api.logOut().catch(() => {});
  await ended;
  end();
}

/** Ends the session here. */
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
