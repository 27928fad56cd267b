// The client library: see messaging.d.ts for the whole interface and what it promises.
//
// How it keeps the promise: the server numbers the changes of a chat 1, 2, 3 … (`seq`): of its messages,
// of its memberships and of the chat itself. A frame with a `seq` beside its `type` is the next change,
// also if its type is unknown. The client remembers the last change that it delivered per chat and
// delivers only the next one. After a lost connection it connects with `since`, and the server first
// sends the missed changes. If they are too many, the client reads them in pages over REST and holds
// live frames back meanwhile. Numbers count within one `epoch` of the log, which the server names. A restore begins a new epoch, and the chat's
// history is read again. Messages are sent one at a time per chat, each with a clientMessageId as its
// idempotency key, so that a send can be repeated.

/** @import * as api from "./messaging.js" */

/** Changes per page over REST: few enough that a page arrives over a bad connection. */
const PAGE = 200;
/** Members per page over REST, which is the limit of the server. */
const MEMBERS = 1000;
/** The most live changes of a chat that are held back while it is paged. Further changes are read over REST. */
const HELD = 1000;
/** The least time between two typing frames, in milliseconds. It is shorter than other clients show them. */
const TYPING_MS = 3000;
/** The longest random wait before a reconnection to a restarting server, in milliseconds. It spreads the load. */
const RESTART_MS = 500;
/** How often a request is tried that the server refuses as `unavailable` or `internal`. */
const TRIES = 8;
/** Largest frame that the server takes, in bytes. */
const MAX_FRAME = 65_536;
/** Error codes after which a retry may succeed. */
const PASSING = new Set(["unavailable", "internal", "rate_limited"]);
/** Error codes of requests that ended with their socket. Sends, marks and connects are repeated on the next one. */
const LOST = new Set(["connection_lost", "timeout", "closed"]);
/** Close codes that lead to an "error" event in addition to a reconnection. */
const WRONG = new Set([1003, 1008, 1009]);

export class MessagingError extends Error {
  /** @param {string} code @param {string} message @param {Partial<api.MessagingError>} more */
  constructor(code, message, more = {}) {
    super(message);
    this.name = "MessagingError";
    this.code = code;
    this.status = more.status ?? null;
    this.retryAfterMs = more.retryAfterMs ?? null;
    this.closeCode = more.closeCode ?? null;
    this.chatId = more.chatId ?? null;
  }
}

/** Prevents an unhandled rejection of a promise. @template T @param {Promise<T>} promise */
function quiet(promise) {
  promise.catch(() => {});
  return promise;
}

/** A promise that other code resolves or rejects. @template T */
class Deferred {
  constructor() {
    /** @type {Promise<T>} */
    this.promise = quiet(
      new Promise((resolve, reject) => {
        /** @type {(value: T) => void} */
        this.resolve = resolve;
        /** @type {(error: Error) => void} */
        this.reject = reject;
      }),
    );
  }
}

/**
 * A value that is read over REST and kept up to date by the changes of its chat. Changes that arrive during
 * a read are applied to what was read: each carries the state of its thing, so a change that the read has
 * seen already does no harm.
 * @template T @template C
 */
class Kept {
  /** @param {(value: T, change: C) => T} apply */
  constructor(apply) {
    this.apply = apply;
    /** Null until it was read. @type {T | null} */
    this.value = null;
    /** The read under way. @type {Promise<T> | null} */
    this.reading = null;
    /** The changes since the read began. @type {C[]} */
    this.changes = [];
  }

  /** @param {C} change */
  take(change) {
    if (this.reading) this.changes.push(change);
    if (this.value !== null) this.value = this.apply(this.value, change);
  }

  /** Reads the value. Calls at the same time share one read. @param {() => Promise<T>} read @returns {Promise<T>} */
  load(read) {
    this.reading ??= this.#load(read).finally(() => (this.reading = null));
    return this.reading;
  }

  /** @param {() => Promise<T>} read */
  async #load(read) {
    this.changes = [];
    const value = await read();
    return (this.value = this.changes.splice(0).reduce(this.apply, value));
  }
}

/** @param {Map<number, api.Member>} members @param {api.MemberChange} change */
function withMember(members, { customerId, username, role, joinedAt }) {
  if (role === null || joinedAt === null) members.delete(customerId);
  else members.set(customerId, { customerId, username: username ?? "", role, joinedAt });
  return members;
}

/** A chat that the client keeps connected: the last delivered change and the work in progress. */
class Room {
  /** @param {number} chatId @param {api.Place | null} since */
  constructor(chatId, since) {
    this.chatId = chatId;
    /** The `seq` of the last delivered change; null until the first ack names the head. */
    this.seen = since?.seq ?? null;
    /** The epoch of the log that `seen` counts in; null if it is not known. */
    this.epoch = since?.epoch ?? null;
    /** Whether connect-chat was sent on the present socket. */
    this.asked = false;
    /** Whether the chat is connected on the present socket. */
    this.live = false;
    /** The last "connected" event. @type {api.Connected | null} */
    this.connected = null;
    /** The promise that `connect` returned. @type {Deferred<api.Connected>} */
    this.ready = new Deferred();
    /** Requests that wait for the chat to be live. @type {Set<Deferred<void>>} */
    this.waiting = new Set();
    /** Whether the chat is being paged over REST. */
    this.filling = false;
    /** Changes that arrived before an earlier change. @type {Change[]} */
    this.held = [];
    /** Whether more changes arrived than HELD. */
    this.spilled = false;
    /** Whether messages are being sent. */
    this.pumping = false;
    /** The number of refused connects since the last success. */
    this.tries = 0;
    this.typedAt = -Infinity;
    /** The id up to which the user has read, and the id up to which the server knows it. */
    this.read = 0;
    this.readTold = 0;
    this.telling = false;
    /** Settled once `seen` is known: from then on every change is delivered. @type {Deferred<void>} */
    this.placed = new Deferred();
    if (this.seen !== null) this.placed.resolve();
    this.forget();
  }

  /** Forgets the chat and its members, because the log is another one. */
  forget() {
    /** @type {Kept<api.Chat, api.Chat>} */
    this.chat = new Kept((_, chat) => chat);
    /** The members by id. @type {Kept<Map<number, api.Member>, api.MemberChange>} */
    this.members = new Kept(withMember);
  }

  /** The `since` of connect-chat. An older server names no epoch; then it is the number only. */
  since() {
    if (this.seen === null) return undefined;
    return this.epoch === null ? this.seen : { seq: this.seen, epoch: this.epoch };
  }

  /** Whether this change is the next one. Replays leave out superseded changes. @param {Change} c */
  isNext(c) {
    return this.seen !== null && c.seq > this.seen && (c.replay || c.seq === this.seen + 1);
  }

  /** Holds a change back. A change beyond HELD is read over REST later. @param {Change} c */
  hold(c) {
    if (this.held.length < HELD && !this.spilled) this.held.push(c);
    else this.spilled = true;
  }

  /** Resets the state of the chat that ended with the socket. */
  lose() {
    this.asked = this.live = this.filling = false;
    this.held = [];
    this.spilled = false;
  }

  /** Ends the chat: rejects its promises. @param {MessagingError} error */
  end(error) {
    this.lose();
    this.ready.reject(error);
    this.placed.reject(error);
    for (const waiting of this.waiting) waiting.reject(error);
  }
}

/**
 * A change of a chat, as its event delivers it. A change of an unknown type has no event.
 * @typedef {{ chatId: number, seq: number, customerId: number | null, replay: boolean } & (
 *   | { type: "message" | "update", what: api.Message } | { type: "delete", what: api.Deleted }
 *   | { type: "member", what: api.MemberChange } | { type: "chat", what: api.Chat }
 *   | { type: null, what: null })} Change
 */

/**
 * A request on the socket: its answer, its chat, its size, and functions that stop and restart its timeout.
 * @typedef {{ answer: Deferred<any>, chatId: number, bytes: number, stop: () => void, extend: () => void }} Request
 */

/** The change that a frame reports; null if it reports none. @returns {Change | null} */
function changeOf({ type, content, chatId, customerId = null, seq, replay = false }) {
  // Older servers name the place of a message within the message alone.
  const at = type === "send-message" || type === "update-message" ? { ...content, ...(seq && { chatId, seq }) } : { chatId, seq };
  if (!Number.isSafeInteger(at.seq)) return null;
  const change = { chatId: at.chatId, seq: at.seq, customerId, replay };
  switch (type) {
    case "send-message":
      return { ...change, type: "message", what: content };
    case "update-message":
      return { ...change, type: "update", what: content };
    case "delete-message":
      return { ...change, type: "delete", what: { messageId: content, chatId, customerId, seq } };
    case "update-member":
      return { ...change, type: "member", what: { chatId, ...content } };
    case "update-chat":
      return { ...change, type: "chat", what: content };
    default:
      return { ...change, type: null, what: null };
  }
}

/** Messages that are not sent yet, in memory and in a Storage. Each has a key of its own, so that two
 * tabs with one Storage do not overwrite each other's messages. */
class Outbox {
  /** @param {api.StorageLike | undefined} storage @param {string} prefix */
  constructor(storage, prefix) {
    this.storage = storage;
    this.prefix = prefix;
    /** @type {api.LocalMessage[]} */
    this.list = [];
    /** The promises of unsettled messages, by clientMessageId. @type {Map<string, Deferred<api.Message>>} */
    this.stored = new Map();
  }

  /** Reads the messages that an earlier page left in the storage. */
  load() {
    for (let i = 0; i < (this.storage?.length ?? 0); i++) {
      const key = this.storage?.key(i);
      if (!key?.startsWith(this.prefix)) continue;
      try {
        const { chatId, content, replyTo, createdAt, error } = JSON.parse(this.storage?.getItem(key) ?? "");
        const local = newLocal(key.slice(this.prefix.length), chatId, content, replyTo, createdAt);
        if (error) Object.assign(local, { state: "failed", error: new MessagingError(error[0], error[1], { chatId }) });
        else this.stored.set(local.clientMessageId, new Deferred());
        this.list.push(local);
      } catch {
        // The entry is broken or of other code. It stays as it is.
      }
    }
    this.list.sort((a, b) => a.createdAt - b.createdAt);
  }

  /** @param {api.LocalMessage} local */
  save(local) {
    const { clientMessageId, chatId, content, replyTo, createdAt, error } = local;
    const why = error && [error.code, error.message];
    const text = JSON.stringify({ chatId, content, replyTo, createdAt, error: why });
    this.storage?.setItem(this.prefix + clientMessageId, text);
  }

  /** @param {api.LocalMessage} local */
  forget(local) {
    this.list = this.list.filter((other) => other !== local);
    this.storage?.removeItem(this.prefix + local.clientMessageId);
  }

  /** The chat's next message to send. @param {number} chatId */
  next(chatId) {
    return this.list.find((local) => local.chatId === chatId && local.state === "sending");
  }

  /** @param {string} clientMessageId */
  find(clientMessageId) {
    return this.list.find((local) => local.clientMessageId === clientMessageId);
  }
}

/** @returns {api.LocalMessage} */
function newLocal(clientMessageId, chatId, content, replyTo, createdAt) {
  return { clientMessageId, chatId, content, replyTo, createdAt, state: "sending", message: null, error: null };
}

/** Returns a random clientMessageId of 128 bits. (`randomUUID` exists on secure pages only.) */
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const isId = (/** @type {unknown} */ id) => Number.isSafeInteger(id) && Number(id) > 0;

/** Parses the `since` of a caller: a number, or a number with its epoch. Null if it is neither.
 * @param {any} since @returns {api.Place | null} */
function placeOf(since) {
  const { seq, epoch = null } = typeof since === "object" && since !== null ? since : { seq: since };
  const right = (seq === 0 || isId(seq)) && (epoch === null || typeof epoch === "string");
  return right ? { seq, epoch } : null;
}

/** @implements {api.Messaging} */
export class Messaging {
  #options;
  #base;
  #outbox;
  /** @type {Map<number, Room>} */
  #rooms = new Map();
  /** Chats that are being left. @type {Map<number, Promise<void>>} */
  #leaving = new Map();
  /** @type {Map<string, Set<Function>>} */
  #listeners = new Map();
  /** @type {Set<ReturnType<typeof setTimeout>>} */
  #timers = new Set();
  /** REST requests under way. @type {Set<AbortController>} */
  #fetches = new Set();
  /** Requests on the socket. @type {Map<number, Request>} */
  #requests = new Map();
  /** @type {WebSocket | null} */
  #socket = null;
  /** The number of the present attempt to connect. Work of an older attempt is discarded. */
  #attempt = 0;
  /** The number of failed attempts since the last success. */
  #failures = 0;
  /** The timer of the next attempt. @type {ReturnType<typeof setTimeout> | null} */
  #retry = null;
  /** The timer of the next check that the socket is alive. @type {ReturnType<typeof setTimeout> | null} */
  #watching = null;
  #lastId = 0;
  #lastCreated = 0;
  /** The time of the last received frame. */
  #heard = 0;
  /** @type {api.State} */
  #state = "offline";
  #ended = false;
  /** Removes the listeners on the browser. */
  #unlisten;

  /** @param {api.Options} options */
  constructor(options = {}) {
    const defaults = {
      url: globalThis.location?.origin,
      maxQueued: 100,
      requestMs: 15_000,
      heartbeatMs: 30_000,
      backoffMs: 500,
      maxBackoffMs: 30_000,
      fetch: globalThis.fetch?.bind(globalThis),
    };
    const given = Object.entries(options).filter(([, value]) => value !== undefined);
    this.#options = { ...options, ...defaults, ...Object.fromEntries(given) };
    const { url, storage, customerId, fetch: fetcher } = this.#options;
    if (!/^https?:\/\//.test(url ?? "")) throw wrong("url", "an http or https address");
    if (!fetcher) throw wrong("fetch", "given where it is not built in");
    // The unsent messages of one user must not be sent in another user's name.
    if (storage && !isId(customerId)) throw wrong("customerId", "given where there is a storage");
    this.#base = url.replace(/\/+$/, "");
    this.#outbox = new Outbox(storage, `messaging-api ${this.#base} ${customerId} `);
    this.#keep(() => this.#outbox.load());
    this.#lastCreated = this.#outbox.list.at(-1)?.createdAt ?? 0;
    this.#unlisten = this.#listenToBrowser();
  }

  get state() {
    return this.#state;
  }

  // ---- events

  on(type, listener) {
    if (!this.#listeners.has(type)) this.#listeners.set(type, new Set());
    this.#listeners.get(type)?.add(listener);
    return () => this.off(type, listener);
  }

  off(type, listener) {
    this.#listeners.get(type)?.delete(listener);
  }

  /** Calls the listeners. An error in one listener does not stop the other listeners. */
  #emit(type, ...args) {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) {
      try {
        listener(...args);
      } catch (error) {
        (globalThis.reportError ?? console.error)(error);
      }
    }
  }

  /** @param {api.State} state @param {number | null} retryInMs */
  #become(state, retryInMs = null) {
    if (state === this.#state && retryInMs === null) return;
    this.#state = state;
    this.#emit("state", { state, retryInMs });
  }

  // ---- chats

  /** @param {number} chatId @param {{ since?: number | { seq: number, epoch?: string | null } }} options */
  connect(chatId, { since } = {}) {
    if (this.#ended) return quiet(Promise.reject(closed(chatId)));
    if (!isId(chatId)) return quiet(Promise.reject(wrong("chatId", "a positive integer")));
    const place = since === undefined ? null : placeOf(since);
    if (since !== undefined && place === null) {
      return quiet(Promise.reject(wrong("since", "a seq, 0 or a positive integer, or { seq, epoch }", chatId)));
    }
    if (!this.#socketClass()) return quiet(Promise.reject(wrong("WebSocket", "given where it is not built in", chatId)));
    const known = this.#rooms.get(chatId);
    if (known) return known.connected ? Promise.resolve(known.connected) : known.ready.promise;
    const room = new Room(chatId, place);
    this.#rooms.set(chatId, room);
    if (this.#socket?.readyState === 1) this.#enter(room);
    else if (!this.#socket) this.#open();
    return room.ready.promise;
  }

  leave(chatId) {
    const room = this.#rooms.get(chatId);
    if (!room) return Promise.resolve();
    const { asked } = room;
    this.#rooms.delete(chatId);
    room.end(new MessagingError("not_connected", `Chat ${chatId} was left`, { chatId }));
    if (!asked) return Promise.resolve(this.#rest());
    // An error means that the chat is not connected on the server, so there is nothing to leave.
    const left = this.#ask("leave-chat", { chatId }).catch(() => {});
    this.#leaving.set(chatId, left);
    return left.then(() => {
      if (this.#leaving.get(chatId) === left) this.#leaving.delete(chatId);
      this.#rest();
    });
  }

  seen(chatId) {
    return this.#rooms.get(chatId)?.seen ?? null;
  }

  place(chatId) {
    const room = this.#rooms.get(chatId);
    return room === undefined || room.seen === null ? null : { seq: room.seen, epoch: room.epoch };
  }

  chat(chatId, { reload = false } = {}) {
    return quiet(this.#kept(chatId, reload, (room) => room.chat, () => this.#request("GET", `/chat/${chatId}`)));
  }

  members(chatId, { reload = false } = {}) {
    const read = async () => {
      /** @type {Map<number, api.Member>} */
      const members = new Map();
      for (let path = `/user/chat/${chatId}?limit=${MEMBERS}`; path; ) {
        const page = await this.#request("GET", path);
        for (const { customerId, username, role, joinedAt } of page) {
          members.set(customerId, { customerId, username, role, joinedAt });
        }
        path = page.next;
      }
      return members;
    };
    const kept = this.#kept(chatId, reload, (room) => room.members, read);
    return quiet(kept.then((members) => [...members.values()].sort((a, b) => a.customerId - b.customerId)));
  }

  /**
   * A part of a chat that changes keep up to date; read over REST at first.
   * @template T @template C
   * @param {number} chatId @param {boolean} reload @param {(room: Room) => Kept<T, C>} of @param {() => Promise<T>} read
   */
  async #kept(chatId, reload, of, read) {
    const room = this.#rooms.get(chatId);
    if (!room) throw this.#ended ? closed(chatId) : notConnected(chatId);
    await room.placed.promise;
    const kept = of(room);
    if (kept.value !== null && !reload) return kept.value;
    const value = await kept.load(read);
    if (this.#rooms.get(chatId) !== room) throw this.#ended ? closed(chatId) : notConnected(chatId);
    return value;
  }

  /** Connects a chat on the open socket. @param {Room} room */
  async #enter(room) {
    const { chatId } = room;
    const { customerId, username } = this.#options;
    const attempt = this.#attempt;
    const isOurs = () => attempt === this.#attempt && this.#rooms.get(chatId) === room;
    try {
      // Frames of an earlier connection of this chat must not count for the new one.
      await this.#leaving.get(chatId);
      const token = await this.#token();
      if (!isOurs()) return;
      room.asked = true;
      const ack = await this.#ask("connect-chat", { chatId, customerId, username, token, since: room.since() });
      if (isOurs()) this.#entered(room, ack);
    } catch (error) {
      if (isOurs()) this.#refused(room, asError(error));
    }
  }

  /** @param {Room} room @param {{ seq: number, epoch?: string, online: api.Online[], truncated?: boolean }} ack */
  #entered(room, { seq, epoch, online, truncated = false }) {
    const { chatId } = room;
    room.live = true;
    room.tries = 0;
    room.seen ??= seq;
    room.placed.resolve();
    room.epoch = epoch ?? null;
    room.connected = { chatId, seq, epoch: room.epoch, online, truncated };
    this.#failures = 0;
    this.#become("online");
    room.ready.resolve(room.connected);
    this.#emit("connected", room.connected);
    // A listener may have left the chat.
    if (!room.live) return;
    for (const waiting of room.waiting) waiting.resolve();
    // The replay was truncated or has a gap: the missing changes are read over REST.
    if (seq > room.seen || !this.#drain(room)) this.#fill(room);
    else this.#emit("caught-up", { chatId, seq: room.seen });
    this.#pump(room);
    this.#tellRead(room);
  }

  /** @param {Room} room @param {MessagingError} error */
  #refused(room, error) {
    const { chatId } = room;
    error.chatId ??= chatId;
    if (LOST.has(error.code)) return;
    if (error.code === "unauthorized") return this.#signOut(error);
    if (error.code === "invalid_field" && room.seen !== null) {
      // `since` is beyond the head or of another epoch: the log was replaced.
      room.seen = room.epoch = null;
      room.placed = new Deferred();
      room.forget();
      this.#emit("reset", { chatId });
      return this.#enter(room);
    }
    if (PASSING.has(error.code)) {
      const attempt = this.#attempt;
      const wait = error.retryAfterMs ?? this.#backoff(room.tries++);
      this.#later(wait, () => attempt === this.#attempt && this.#enter(room));
      return;
    }
    if (room.connected && error.code === "chat_not_found") this.#emit("deleted-chat", { chatId });
    else if (room.connected) this.#emit("error", error);
    this.#remove(room, error);
  }

  /** Removes a chat that is closed to the user; its unsent messages fail. @param {Room} room @param {MessagingError} error */
  #remove(room, error) {
    if (this.#rooms.get(room.chatId) !== room) return;
    this.#rooms.delete(room.chatId);
    room.end(error);
    for (const local of this.outgoing(room.chatId)) if (local.state === "sending") this.#fail(local, error);
    this.#rest();
  }

  // ---- changes, in order

  /** @param {Change} change */
  #arrive(change) {
    const room = this.#rooms.get(change.chatId);
    if (!room?.asked || (room.seen !== null && change.seq <= room.seen)) return;
    if (!room.filling && room.isNext(change) && room.held.length === 0) return this.#deliver(room, change);
    room.hold(change);
    // Before the ack, the missing changes may still arrive on the socket.
    if (room.live && !room.filling) this.#fill(room);
  }

  /** @param {Room} room @param {Change} change */
  #deliver(room, { type, chatId, seq, customerId, replay, what }) {
    room.seen = seq;
    if (type === "member") room.members.take(what);
    if (type === "chat") room.chat.take(what);
    if (type !== null) this.#emit(type, what, { chatId, seq, customerId, replay });
  }

  /** Delivers held changes. Returns false if a change before them is missing. @param {Room} room */
  #drain(room) {
    while (room.held.length > 0) {
      const [change] = room.held;
      if (room.seen !== null && change.seq > room.seen) {
        if (!room.isNext(change)) return false;
        this.#deliver(room, change);
      }
      room.held.shift();
    }
    const complete = !room.spilled;
    room.spilled = false;
    return complete;
  }

  /** Reads missing changes over REST, while live frames are held back. @param {Room} room */
  async #fill(room) {
    const attempt = this.#attempt;
    const isOurs = () => attempt === this.#attempt && room.live;
    room.filling = true;
    for (let tries = 0, done = false; !done && isOurs(); ) {
      try {
        const epoch = room.epoch === null ? "" : `&epoch=${encodeURIComponent(room.epoch)}`;
        const path = `/chat/${room.chatId}/change?limit=${PAGE}&since=${room.seen}${epoch}`;
        /** @type {any[]} */
        const page = await this.#request("GET", path);
        for (const frame of page) {
          const change = changeOf({ ...frame, replay: true });
          if (isOurs() && change && room.seen !== null && change.seq > room.seen) this.#deliver(room, change);
        }
        // Only an empty page is the last one: long texts make a page shorter than its limit.
        if (!isOurs() || page.length > 0) continue;
        done = this.#drain(room);
        // REST does not have the missing change either, so the socket's frames are wrong.
        if (!done) return this.#drop();
      } catch (error) {
        if (!isOurs()) break;
        // The log was replaced meanwhile: the next connect reports it.
        if (asError(error).code === "invalid_field") return this.#drop();
        await this.#pause(asError(error).retryAfterMs ?? this.#backoff(tries++));
      }
    }
    if (!isOurs()) return;
    room.filling = false;
    this.#emit("caught-up", { chatId: room.chatId, seq: room.seen });
  }

  // ---- sending

  send(chatId, text, { replyTo = null } = {}) {
    this.#lastCreated = Math.max(Date.now(), this.#lastCreated + 1);
    const local = newLocal(newId(), chatId, String(text), replyTo, this.#lastCreated);
    const stored = new Deferred();
    this.#outbox.stored.set(local.clientMessageId, stored);
    const refusal = this.#refusal(chatId);
    if (refusal) {
      this.#fail(local, refusal);
    } else {
      this.#outbox.list.push(local);
      this.#queued(local);
    }
    return { local, stored: stored.promise };
  }

  /** Returns why a message cannot be queued, if so. @param {number} chatId */
  #refusal(chatId) {
    if (this.#ended) return closed(chatId);
    if (!this.#rooms.has(chatId)) return notConnected(chatId);
    if (this.#outbox.list.length < this.#options.maxQueued) return null;
    return new MessagingError("queue_full", "Too many messages wait to be sent", { chatId });
  }

  /** Handles a newly queued message. @param {api.LocalMessage} local */
  #queued(local) {
    this.#keep(() => this.#outbox.save(local));
    this.#emit("outgoing", local);
    const room = this.#rooms.get(local.chatId);
    if (room) this.#pump(room);
  }

  retry(clientMessageId) {
    const local = this.#outbox.find(clientMessageId);
    if (!local || this.#ended) return null;
    if (local.state === "failed") {
      Object.assign(local, { state: "sending", error: null });
      this.#outbox.stored.set(clientMessageId, new Deferred());
      this.#queued(local);
    }
    const stored = /** @type {Deferred<api.Message>} */ (this.#outbox.stored.get(clientMessageId));
    return { local, stored: stored.promise };
  }

  discard(clientMessageId) {
    const local = this.#outbox.find(clientMessageId);
    if (local?.state !== "failed") return false;
    this.#keep(() => this.#outbox.forget(local));
    return true;
  }

  outgoing(chatId) {
    return this.#outbox.list.filter((local) => chatId === undefined || local.chatId === chatId);
  }

  /** Sends a chat's messages one after the other, so that they stay in order. @param {Room} room */
  async #pump(room) {
    if (room.pumping) return;
    room.pumping = true;
    const turn = { tries: 0 };
    for (let local; room.live && (local = this.#outbox.next(room.chatId)); ) {
      const { chatId, content, clientMessageId, replyTo } = local;
      try {
        const request = { chatId, content, clientMessageId, replyTo: replyTo ?? undefined };
        const { duplicate: _, ...message } = await this.#ask("send-message", request);
        this.#sent(local, message);
        turn.tries = 0;
      } catch (thrown) {
        const error = asError(thrown);
        // The request was lost with the socket. It is sent again on the next socket.
        if (LOST.has(error.code)) break;
        if (!(await this.#passes(error, turn))) this.#fail(local, error);
      }
    }
    room.pumping = false;
  }

  /**
   * Waits before a refused request is repeated. Resolves to false if a retry is useless: the error is permanent, or
   * the request was refused TRIES times. A request that came too fast is repeated without limit.
   * @param {MessagingError} error @param {{tries: number}} turn
   */
  async #passes(error, turn) {
    const again = error.code === "rate_limited" || (PASSING.has(error.code) && ++turn.tries < TRIES);
    if (again) await this.#pause(error.retryAfterMs ?? this.#backoff(turn.tries));
    return again;
  }

  /** @param {api.LocalMessage} local @param {api.Message} message */
  #sent(local, message) {
    Object.assign(local, { state: "sent", message, error: null });
    this.#keep(() => this.#outbox.forget(local));
    this.#emit("outgoing", local);
    this.#settled(local).resolve(message);
  }

  /** @param {api.LocalMessage} local @param {MessagingError} error */
  #fail(local, error) {
    Object.assign(local, { state: "failed", error });
    if (this.#outbox.list.includes(local)) this.#keep(() => this.#outbox.save(local));
    this.#emit("outgoing", local);
    this.#settled(local).reject(error);
  }

  /** @param {api.LocalMessage} local @returns {Deferred<api.Message>} */
  #settled({ clientMessageId }) {
    const stored = this.#outbox.stored.get(clientMessageId) ?? new Deferred();
    this.#outbox.stored.delete(clientMessageId);
    return stored;
  }

  /** Writes to the storage. If it is full or forbidden, the message is sent but not kept. @param {() => void} write */
  #keep(write) {
    try {
      write();
    } catch (error) {
      this.#emit("error", new MessagingError("storage", `Unsent messages are not kept: ${error}`));
    }
  }

  update(chatId, messageId, text) {
    const content = { chatId, messageId: messageId ?? undefined, content: text };
    return quiet(this.#askLive(chatId, "update-message", content));
  }

  delete(chatId, messageId) {
    return quiet(this.#askLive(chatId, "delete-message", { messageId }));
  }

  typing(chatId) {
    const room = this.#rooms.get(chatId);
    if (!room?.live || Date.now() - room.typedAt < TYPING_MS) return;
    room.typedAt = Date.now();
    this.#socket?.send(JSON.stringify({ type: "start-typing", content: { chatId } }));
  }

  markRead(chatId, messageId) {
    const room = this.#rooms.get(chatId);
    if (!room || messageId <= room.read) return;
    room.read = messageId;
    this.#tellRead(room);
  }

  /** Sends the read position, and sends it again if it has changed meanwhile. @param {Room} room */
  async #tellRead(room) {
    if (room.telling) return;
    room.telling = true;
    const turn = { tries: 0 };
    while (room.live && room.readTold < room.read) {
      const { chatId, read } = room;
      try {
        await this.#ask("mark-read", { chatId, messageId: read });
        room.readTold = read;
        turn.tries = 0;
      } catch (thrown) {
        const error = asError(thrown);
        // The request was lost with the socket. The position is sent on the next socket.
        if (LOST.has(error.code)) break;
        if (await this.#passes(error, turn)) continue;
        room.readTold = read;
        this.#emit("error", error);
      }
    }
    room.telling = false;
  }

  // ---- requests

  /** Sends a request on the socket once the chat is live. Rejects if that takes longer than the request timeout. */
  async #askLive(chatId, type, content) {
    const room = this.#rooms.get(chatId);
    if (!room) throw notConnected(chatId);
    if (!room.live) {
      /** @type {Deferred<void>} */
      const waiting = new Deferred();
      const offline = new MessagingError("offline", "There is no connection", { chatId });
      const timer = this.#later(this.#options.requestMs, () => waiting.reject(offline));
      room.waiting.add(waiting);
      try {
        await waiting.promise;
      } finally {
        this.#stop(timer);
        room.waiting.delete(waiting);
      }
    }
    return this.#ask(type, content, chatId);
  }

  /** Sends a request on the open socket. A missing answer means that the socket is dead. */
  #ask(type, content, chatId = content.chatId) {
    /** @type {Deferred<any>} */
    const answer = new Deferred();
    const id = ++this.#lastId;
    const text = JSON.stringify({ type, content, id });
    const bytes = new TextEncoder().encode(text).length;
    if (bytes > MAX_FRAME) {
      answer.reject(new MessagingError("too_large", `A frame must be at most ${MAX_FRAME} bytes`, { chatId }));
      return answer.promise;
    }
    if (this.#socket?.readyState !== 1) {
      answer.reject(new MessagingError("connection_lost", "The connection is lost", { chatId }));
      return answer.promise;
    }
    const start = () => this.#later(this.#options.requestMs, () => this.#drop("timeout"));
    let timer = start();
    const stop = () => this.#stop(timer);
    const extend = () => {
      stop();
      timer = start();
    };
    // The ack of connect-chat comes after the replay, so each frame of the replay restarts its timeout.
    this.#requests.set(id, { answer, chatId, bytes, stop, extend: type === "connect-chat" ? extend : () => {} });
    this.#socket.send(text);
    return answer.promise;
  }

  request(method, path, body) {
    return quiet(this.#request(method, path, body));
  }

  /** @returns {Promise<any>} */
  async #request(method, path, body = undefined) {
    const chatId = chatOf(path);
    if (this.#ended) throw closed(chatId);
    if (!path.startsWith("/")) throw wrong("path", "begun with a slash");
    const abort = new AbortController();
    let timer;
    this.#fetches.add(abort);
    try {
      /** @type {Record<string, string>} */
      const headers = {};
      const token = await this.#token();
      if (token) headers.Authorization = `Bearer ${token}`;
      if (body !== undefined) headers["Content-Type"] = "application/json";
      timer = this.#later(this.#options.requestMs, () => abort.abort());
      const init = { method, headers, body: body === undefined ? null : JSON.stringify(body) };
      const response = await this.#options.fetch(this.#base + path, { ...init, signal: abort.signal });
      return read(response, await response.text(), chatId);
    } catch (error) {
      if (error instanceof MessagingError) throw error;
      if (this.#ended) throw closed(chatId);
      if (abort.signal.aborted) throw new MessagingError("timeout", "The answer took too long", { chatId });
      throw new MessagingError("connection_lost", `No answer: ${error}`, { chatId });
    } finally {
      this.#stop(timer);
      this.#fetches.delete(abort);
    }
  }

  /** @returns {Promise<string | undefined>} */
  async #token() {
    const { token } = this.#options;
    return (typeof token === "function" ? await token() : token) ?? undefined;
  }

  // ---- the socket

  /** Returns the WebSocket class. It is looked up late: REST needs none, and Node.js 20 has none built in. */
  #socketClass() {
    return this.#options.WebSocket ?? globalThis.WebSocket;
  }

  async #open() {
    if (this.#ended || this.#socket || this.#rooms.size === 0) return;
    this.#stop(this.#retry);
    this.#retry = null;
    const attempt = ++this.#attempt;
    this.#become("connecting");
    if (attempt !== this.#attempt) return;
    try {
      const socket = new (this.#socketClass())(`${this.#base.replace(/^http/, "ws")}/ws`);
      this.#socket = socket;
      this.#heard = Date.now();
      socket.onopen = () => this.#rooms.forEach((room) => this.#enter(room));
      socket.onmessage = ({ data }) => this.#receive(data);
      socket.onclose = ({ code }) => this.#lost(code);
      // A close follows, except in Node.js 20 where the socket never opened.
      socket.onerror = () => this.#socket === socket && socket.readyState === 0 && this.#lost(1006);
      this.#watch(Math.min(this.#options.requestMs, this.#silence()));
    } catch (error) {
      this.#emit("error", new MessagingError("socket_closed", `No socket: ${error}`));
      this.#wait(this.#backoff(this.#failures++));
    }
  }

  /** Drops a silent socket: one that does not open, or on which two heartbeats are missing. */
  #watch(limit) {
    this.#watching = this.#later(limit, () => {
      const left = this.#heard + this.#silence() - Date.now();
      if (this.#socket?.readyState !== 1 || left <= 0) this.#drop();
      else this.#watch(left);
    });
  }

  #silence() {
    return 2 * this.#options.heartbeatMs;
  }

  /** @param {string} text */
  #receive(text) {
    this.#heard = Date.now();
    for (const request of this.#requests.values()) request.extend();
    try {
      this.#take(JSON.parse(text));
    } catch {
      this.#emit("error", new MessagingError("bad_answer", "What the server sent makes no sense"));
    }
  }

  #take(frame) {
    const change = changeOf(frame);
    if (change) return this.#arrive(change);
    const { type, content, id, chatId, customerId } = frame;
    const known = this.#rooms.has(chatId);
    switch (type) {
      case "ack":
      case "error":
        return this.#answered(type, content, id);
      case "join":
      case "leave":
      case "start-typing": {
        const event = type === "start-typing" ? "typing" : type;
        return known && this.#emit(event, { chatId, customerId, username: content });
      }
      case "update-user":
        return this.#renamed(content);
      case "read":
        return known && this.#emit("read", { chatId, customerId, messageId: content });
      case "heartbeat":
        return this.#compare(content);
      case "leave-chat":
        return this.#gone(content, "removed", "not_connected", "You were removed from the chat");
      case "delete-chat":
        return this.#gone(content, "deleted-chat", "chat_not_found", "The chat was deleted");
    }
  }

  /** Changes the name of a user among the members of all chats. @param {api.Named} user */
  #renamed({ customerId, username }) {
    for (const { members } of this.#rooms.values()) {
      const member = members.value?.get(customerId);
      if (member) members.value?.set(customerId, { ...member, username });
    }
    this.#emit("user", { customerId, username });
  }

  #answered(type, content, id) {
    const request = this.#requests.get(id);
    const more = { ...content, chatId: request?.chatId };
    const error = type === "error" && new MessagingError(content.code, content.error, more);
    if (request) {
      request.stop();
      this.#requests.delete(id);
      if (error) request.answer.reject(error);
      else request.answer.resolve(content);
    } else if (error) {
      this.#emit("error", error);
    }
  }

  /** Compares the heads of the chats with the delivered changes. A head beyond them means a lost frame. */
  #compare(heads) {
    for (const room of this.#rooms.values()) {
      const head = heads[room.chatId] ?? 0;
      if (room.live && !room.filling && room.seen !== null && head > room.seen) return this.#drop();
    }
  }

  #gone(chatId, event, code, message) {
    const room = this.#rooms.get(chatId);
    if (!room) return;
    this.#emit(event, { chatId });
    this.#remove(room, new MessagingError(code, message, { chatId }));
  }

  /** Abandons the socket, which may be dead, and connects again after a wait. */
  #drop(code = "connection_lost") {
    this.#detach(code);
    this.#wait(this.#backoff(this.#failures++));
  }

  /** Ends the timers and requests that depend on the socket. */
  #detach(code = "connection_lost") {
    const socket = this.#socket;
    this.#attempt++;
    this.#socket = null;
    this.#stop(this.#watching);
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      if (socket.readyState <= 1) socket.close();
    }
    for (const room of this.#rooms.values()) room.lose();
    const message = code === "timeout" ? "The answer took too long" : "The connection is lost";
    for (const { answer, chatId, stop } of this.#requests.values()) {
      stop();
      answer.reject(new MessagingError(code, message, { chatId }));
    }
    this.#requests.clear();
  }

  /** The socket closed. @param {number} code */
  #lost(code) {
    if (code === 1009) {
      // The close code does not name the request that was too large. The largest one fails.
      const [largest] = [...this.#requests.values()].sort((a, b) => b.bytes - a.bytes);
      const message = "The server takes no message of this size";
      const more = { closeCode: code, chatId: largest?.chatId };
      largest?.answer.reject(new MessagingError("too_large", message, more));
    }
    this.#detach();
    if (code === 4001) {
      return this.#signOut(new MessagingError("unauthorized", "The session ended", { closeCode: code }));
    }
    if (WRONG.has(code)) {
      this.#emit("error", new MessagingError("socket_closed", `The server closed: ${code}`, { closeCode: code }));
    }
    if (code === 1012) this.#failures = 0;
    this.#wait(code === 1012 ? Math.random() * RESTART_MS : this.#backoff(this.#failures++));
  }

  /** Tries again after a while. @param {number} ms */
  #wait(ms) {
    if (this.#ended || this.#socket || this.#retry) return;
    if (this.#rooms.size === 0) return this.#become("offline");
    this.#retry = this.#later(ms, () => {
      this.#retry = null;
      this.#open();
    });
    this.#become(globalThis.navigator?.onLine === false ? "offline" : "waiting", Math.round(ms));
  }

  /** Returns a random wait that grows with the failed tries, so that clients do not return all at once. */
  #backoff(tries) {
    const { backoffMs, maxBackoffMs } = this.#options;
    return Math.random() * Math.min(maxBackoffMs, backoffMs * 2 ** tries);
  }

  /** Closes the socket if there are no chats. The server would close it too. */
  #rest() {
    if (this.#rooms.size > 0 || this.#ended) return;
    this.#detach();
    this.#stop(this.#retry);
    this.#retry = null;
    this.#become("offline");
  }

  /** @param {MessagingError} error */
  #signOut(error) {
    const rooms = [...this.#rooms.values()];
    this.#rooms.clear();
    this.#detach();
    // The error concerns every chat. Each chat gets a copy with its own id.
    for (const room of rooms) room.end(new MessagingError(error.code, error.message, { ...error, chatId: room.chatId }));
    this.#become("closed");
    this.#emit("signed-out", error);
  }

  reconnect() {
    if (this.#retry) this.#open();
  }

  #listenToBrowser() {
    const browser = globalThis.document && globalThis;
    const online = () => this.reconnect();
    const visible = () => document.visibilityState === "visible" && this.reconnect();
    // Without a network, the socket would still seem open for a minute.
    const offline = () => this.#socket && this.#drop();
    browser?.addEventListener("online", online);
    browser?.addEventListener("offline", offline);
    browser?.document.addEventListener("visibilitychange", visible);
    return () => {
      browser?.removeEventListener("online", online);
      browser?.removeEventListener("offline", offline);
      browser?.document.removeEventListener("visibilitychange", visible);
    };
  }

  close() {
    if (this.#ended) return;
    this.#ended = true;
    this.#unlisten();
    const rooms = [...this.#rooms.values()];
    this.#rooms.clear();
    this.#detach("closed");
    for (const room of rooms) room.end(closed(room.chatId));
    for (const [id, stored] of this.#outbox.stored) stored.reject(closed(this.#outbox.find(id)?.chatId));
    for (const abort of this.#fetches) abort.abort();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#become("closed");
  }

  // ---- time

  /** @param {number} ms @param {() => void} then */
  #later(ms, then) {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      then();
    }, ms);
    this.#timers.add(timer);
    return timer;
  }

  #stop(timer) {
    clearTimeout(timer);
    this.#timers.delete(timer);
  }

  /** @param {number} ms @returns {Promise<void>} */
  #pause(ms) {
    return new Promise((resolve) => this.#later(ms, resolve));
  }
}

/** The chat that a REST path names; undefined if it names none. @param {string} path */
function chatOf(path) {
  const named = /^(?:[^?]*\/chat\/|[^?]*\?(?:.*&)?chat_id=)([1-9]\d*)(?=[/?&#]|$)/.exec(path);
  return named ? Number(named[1]) : undefined;
}

/** Parses a REST answer, or throws its error. @param {Response} response @param {string} text @param {number} [chatId] */
function read(response, text, chatId) {
  const { ok, status } = response;
  /** @type {any} */
  let body = null;
  try {
    if (text !== "") body = JSON.parse(text);
  } catch {
    throw new MessagingError("bad_answer", `The answer is not JSON (status ${status})`, { status, chatId });
  }
  if (ok) return withNext(body, response.headers.get("Link"));
  const seconds = Number(response.headers.get("Retry-After") ?? NaN);
  const retryAfterMs = body?.retryAfterMs ?? (Number.isFinite(seconds) ? seconds * 1000 : null);
  throw new MessagingError(body?.code ?? "bad_answer", body?.error ?? `Status ${status}`, { status, retryAfterMs, chatId });
}

/** Adds `next` to a list: not enumerable, so that the list still equals its rows. @param {string | null} link */
function withNext(body, link) {
  if (!Array.isArray(body)) return body;
  const next = /<([^>]*)>\s*;[^,]*\brel="?next"?/.exec(link ?? "");
  return Object.defineProperty(body, "next", { value: next ? next[1] : null });
}

/** @param {string} field @param {string} expected @param {number} [chatId] */
const wrong = (field, expected, chatId) => new MessagingError("invalid_field", `${field} must be ${expected}`, { chatId });
const notConnected = (chatId) =>
  new MessagingError("not_connected", `Chat ${chatId} is not connected`, { chatId });
/** @param {number} [chatId] */
const closed = (chatId) => new MessagingError("closed", "The client is closed", { chatId });

/** Converts anything that a token function or a socket threw to an error. @returns {MessagingError} */
function asError(error) {
  return error instanceof MessagingError ? error : new MessagingError("internal", String(error));
}
