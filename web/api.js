// The REST side. One function a route that the page uses; what goes wrong is an ApiError whose
// message can be shown as it is.

/** What the server refused, or that it could not be asked (`code` "unreachable"). */
export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** How long an answer may take. */
const LIMIT = 20_000;

let token = null;
let onEnded = () => {};

/** Sets the bearer token that goes with every request (null: none), and what to do when it is refused. */
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

/** What the server says begins small and has no full stop. */
const sentence = (words) => words && `${words[0].toUpperCase()}${words.slice(1).replace(/\.$/u, "")}.`;

function refusal(response, answer) {
  let said = {};
  try {
    said = JSON.parse(answer);
  } catch {
    // Not this server's own answer: something between here and there.
  }
  const wait = response.headers.get("retry-after");
  const message = response.status === 429 && wait ? `Too many attempts. Try again in ${wait} s.` : sentence(said.error);
  if (response.status === 401 && token !== null) onEnded();
  return new ApiError(response.status, said.code ?? "unknown", message ?? `The server answered ${response.status}.`);
}

const get = async (path) => (await ask("GET", path)).value;
const send = async (method, path, body) => (await ask(method, path, body)).value;

/** Where a list goes on; undefined at its end. A page may be shorter than was asked for. */
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
export const renameChat = (id, chatName) => send("PUT", `/chat/${id}`, { chatName });
export const deleteChat = (id) => send("DELETE", `/chat/${id}`);

export const members = (chat) => all(`/user/chat/${chat}?limit=1000`);
export const addMember = (chat, id, role) => send("PUT", `/chat/${chat}/user/${id}`, role ? { role } : undefined);
export const removeMember = (chat, id) => send("DELETE", `/chat/${chat}/user/${id}`);

/** A page of messages, oldest first: the newest, or those before a message; and whether it is the last. */
export async function messages(chat, before, limit = 100) {
  const path = `/chat/${chat}/message?limit=${limit}${before ? `&before=${before}` : ""}`;
  const { response, value } = await ask("GET", path);
  return { page: value, complete: next(response) === undefined };
}
