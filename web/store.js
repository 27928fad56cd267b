// What the page knows, in one place, and who wants to hear of a change. Whoever changes something
// says so with `changed(topic)`; the views of that topic are drawn once before the next frame,
// however much has changed.

/** No connection: without a chat there is nothing to be connected to. */
const NONE = { phase: "offline", retryAt: null, lost: false, restored: false };

export const state = {
  /** "open": everyone is who they say they are. "required": one logs in. */
  mode: document.documentElement.dataset.auth,
  /** Who uses this page: {customerId, username}, or null. */
  me: null,
  /** The chats one belongs to, by id; see chats.js. */
  chats: new Map(),
  /** Chats one could join (open mode only). */
  others: [],
  /** Whether `chats` is filled. */
  ready: false,
  /** The id of the chat that is shown, or null. */
  current: null,
  /** Whether the people of the chat are shown beside it. */
  panel: matchMedia("(min-width: 1200px)").matches,
  /** The connection: {phase, retryAt, lost, restored}; the phase is the client's state. */
  connection: { ...NONE },
};

const listeners = new Map();
const dirty = new Set();
let scheduled = false;

/** Calls `draw` after changes of any of these topics: who, chats, current, timeline, people, connection, typing. */
export function on(topics, draw) {
  for (const topic of [topics].flat()) {
    if (!listeners.has(topic)) listeners.set(topic, new Set());
    listeners.get(topic).add(draw);
  }
  return () => listeners.forEach((set) => set.delete(draw));
}

/** Says that these topics have changed. */
export function changed(...topics) {
  for (const topic of topics) dirty.add(topic);
  if (scheduled) return;
  scheduled = true;
  // A page in the background gets no frames, but its title should still say what is unread.
  if (document.hidden) setTimeout(draw);
  else requestAnimationFrame(draw);
}

function draw() {
  scheduled = false;
  const draws = new Set();
  for (const topic of dirty) for (const listener of listeners.get(topic) ?? []) draws.add(listener);
  dirty.clear();
  for (const listener of draws) listener();
}

/** The chat that is shown, or undefined. */
export const currentChat = () => state.chats.get(state.current);

/** Forgets everything about who used the page. */
export function forget() {
  state.me = null;
  state.chats.clear();
  state.others = [];
  state.ready = false;
  state.current = null;
  state.connection = { ...NONE };
  changed("who", "chats", "current", "timeline", "people", "connection");
}
