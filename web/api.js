// The REST client of the page, with one function a route. A failure is an ApiError with a message that can
// be shown to the user.

/** A refusal by the server, or a server that cannot be reached (`code` "unreachable"). */
export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** The longest wait for an answer, in milliseconds. */
const LIMIT = 20_000;

let token = null;
let onEnded = () => {};

/** Sets the bearer token of every request (null: none). `ended` is called if the server refuses the token. */
export function authorize(value, ended = () => {}) {
  token = value;
  onEnded = ended;
}

async function ask(method, path, body) {
  const headers = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (token !== null) headers.authorization = `Bearer ${token}`;
  const signal = AbortSignal.timeout(LIMIT);
  let response;
  let answer;
  try {
    response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal });
    answer = await response.text();
  } catch {
    throw new ApiError(0, "unreachable", "The server cannot be reached. Try again in a moment.");
  }
  if (response.ok) return { response, value: answer === "" ? null : JSON.parse(answer) };
  throw refusal(response, answer);
}

/** Makes a sentence of an error text, which begins in lower case and has no full stop. */
const sentence = (words) => words && `${words[0].toUpperCase()}${words.slice(1).replace(/\.$/u, "")}.`;

function refusal(response, answer) {
  let said = {};
  try {
    said = JSON.parse(answer);
  } catch {
    // The answer is not from this server but from a proxy in between.
  }
  const wait = response.headers.get("retry-after");
  const message = response.status === 429 && wait ? `Too many attempts. Try again in ${wait} s.` : sentence(said.error);
  if (response.status === 401 && token !== null) onEnded();
  return new ApiError(response.status, said.code ?? "unknown", message ?? `The server answered ${response.status}.`);
}

const get = async (path) => (await ask("GET", path)).value;
const send = async (method, path, body) => (await ask(method, path, body)).value;

/** The path of the next page of a list; undefined at its end. A page may be shorter than its limit. */
const next = (response) => /<([^>]+)>;\s*rel="next"/u.exec(response.headers.get("link") ?? "")?.[1];

/** Every page of a list. */
async function all(path) {
  const rows = [];
  for (let at = path; at;) {
    const { response, value } = await ask("GET", at);
    rows.push(...value);
    at = next(response);
  }
  return rows;
}

export const users = () => all("/user?limit=1000");
export const signUp = (username, password) => send("POST", "/user", { username, password });
export const logIn = (username, password, newPassword) => send("POST", "/login", { username, password, newPassword });
export const logOut = () => send("POST", "/logout");
export const me = () => get("/me");
export const user = (id) => get(`/user/${id}`);

export const chats = () => all("/chat?limit=1000");
export const chatsOf = (id) => all(`/user/${id}/chat?limit=1000`);
export const createChat = (chatName) => send("POST", "/chat", { chatName });
/** Changes a chat; `fields` has chatName, topic (null removes it) or both. */
export const updateChat = (id, fields) => send("PUT", `/chat/${id}`, fields);
export const deleteChat = (id) => send("DELETE", `/chat/${id}`);

export const members = (chat) => all(`/user/chat/${chat}?limit=1000`);
export const addMember = (chat, id, role) => send("PUT", `/chat/${chat}/user/${id}`, role ? { role } : undefined);
export const removeMember = (chat, id) => send("DELETE", `/chat/${chat}/user/${id}`);

/** The changes of members and of the chat itself after `since`, as frames. */
export async function changes(chat, since) {
  const frames = await all(`/chat/${chat}/change?limit=1000&since=${since}`);
  return frames.filter(({ type }) => type === "update-member" || type === "update-chat");
}

/** A page of messages, oldest first: the newest, or those before a message; and whether it is the last. */
export async function messages(chat, before, limit = 100) {
  const path = `/chat/${chat}/message?limit=${limit}${before ? `&before=${before}` : ""}`;
  const { response, value } = await ask("GET", path);
  return { page: value, complete: next(response) === undefined };
}
