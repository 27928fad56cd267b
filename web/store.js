// The state of the page and its listeners. Code that changes the state calls `changed(topic)`. Each
// view that listens to the topic is drawn once before the next frame, however many changes were made.

/** The connection state of a user without chats: the client opens no socket then. */
const NONE = { phase: "offline", retryAt: null, lost: false, restored: false };

export const state = {
  /** The mode of the server. "open": users pick a name. "required": users log in. */
  mode: document.documentElement.dataset.auth,
  /** The user of the page: {customerId, username}; null before a name is picked and after a logout. */
  me: null,
  /** The user's chats by id; see chats.js. */
  chats: new Map(),
  /** Chats that the user could join (open mode only). */
  others: [],
  /** Whether `chats` is filled. */
  ready: false,
  /** The id of the open chat; null if none is open. */
  current: null,
  /** Whether the members are shown beside the chat. */
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

/** Schedules a draw of the views that listen to these topics. */
export function changed(...topics) {
  for (const topic of topics) dirty.add(topic);
  if (scheduled) return;
  scheduled = true;
  // A page in the background gets no frames, but its title still has to show the unread count.
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

/** The open chat; undefined if none is open. */
export const currentChat = () => state.chats.get(state.current);

/** Removes everything about the user from the state. */
export function forget() {
  state.me = null;
  state.chats.clear();
  state.others = [];
  state.ready = false;
  state.current = null;
  state.connection = { ...NONE };
  changed("who", "chats", "current", "timeline", "people", "connection");
}
