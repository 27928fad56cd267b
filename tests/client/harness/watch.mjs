// What a client tells, written down, and proof that it is what is stored.

import assert from "node:assert/strict";
import { Messaging } from "../../../web/messaging.js";

const EVENTS = [
  "message", "update", "delete", "join", "leave", "typing", "read", "removed", "deleted-chat",
  "connected", "caught-up", "reset", "outgoing", "state", "signed-out", "error",
];
/** How long a test waits for an event, in milliseconds. */
const LIMIT = 60_000;

/** A client whose events are written down; the test closes it. Short waits, for fast tests. */
export function watched(t, url, options = {}) {
  const client = new Messaging({ url, customerId: 1, backoffMs: 20, maxBackoffMs: 200, ...options });
  t.after(() => client.close());
  return new Watch(client);
}

export class Watch {
  /** Everything that happened: `[type, ...what the listener got]`. */
  events = [];
  #waiting = new Set();

  constructor(client) {
    this.client = client;
    for (const type of EVENTS) {
      client.on(type, (...args) => {
        // Local messages change later; written down is how they were.
        this.events.push([type, ...args.map((what) => (what instanceof Error ? what : structuredClone(what)))]);
        for (const check of [...this.#waiting]) check();
      });
    }
  }

  /** The events of these types, what their listeners got. */
  of(...types) {
    return this.events.filter(([type]) => types.includes(type)).map(([, what]) => what);
  }

  /** Waits until something is true, looking again at every event. Gives what made it true. */
  until(isTrue) {
    return new Promise((resolve, reject) => {
      const end = (settle, value) => {
        clearTimeout(timer);
        this.#waiting.delete(check);
        settle(value);
      };
      const late = () => {
        const last = this.events.slice(-10).map((event) => JSON.stringify(event)).join("\n");
        end(reject, new Error(`never: ${isTrue}\nThe last of ${this.events.length} events:\n${last}`));
      };
      const timer = setTimeout(late, LIMIT);
      const check = () => {
        const value = isTrue();
        if (value) end(resolve, value);
      };
      this.#waiting.add(check);
      check();
    });
  }

  /** Waits for an event of this type of which something is true, from the given event on. */
  async next(type, isTrue = () => true, from = 0) {
    return this.until(() => this.of(type).slice(from).find(isTrue));
  }

  /** Waits until everything that is stored of a chat has been told. */
  async complete(server, chatId) {
    const head = (await server.log(chatId)).at(-1)?.seq ?? 0;
    await this.until(() => this.client.seen(chatId) === head);
  }
}

/**
 * Proves that what a client told of a chat since `since` is what is stored: each change once, in
 * order, and all of them together the stored messages.
 */
export async function prove(server, chatId, watch, since = 0) {
  const stored = (await server.log(chatId)).filter(({ seq }) => seq > since);
  const told = new Map();
  let last = since;
  const fresh = new Set();
  for (const [type, what, info] of watch.events) {
    if (!["message", "update", "delete"].includes(type) || info.chatId !== chatId) continue;
    assert.ok(info.seq > last, `seq ${info.seq} after ${last}`);
    last = info.seq;
    if (type === "message") assert.ok(!fresh.has(what.messageId), `message ${what.messageId} twice`);
    if (type === "message") fresh.add(what.messageId);
    told.delete(what.messageId);
    told.set(what.messageId, type === "delete" ? null : what);
  }
  assert.deepEqual([...told.keys()], stored.map(({ messageId }) => messageId), "the same messages, in order");
  for (const message of stored) {
    const expected = message.deletedAt === null ? message : null;
    assert.deepEqual(told.get(message.messageId), expected);
  }
  return stored;
}

/** Proves that texts were stored once each, in the order they were sent. */
export async function proveSent(server, chatId, texts) {
  const stored = await server.log(chatId);
  const mine = stored.filter(({ content }) => texts.includes(content));
  mine.sort((a, b) => a.messageId - b.messageId);
  assert.deepEqual(mine.map(({ content }) => content), texts);
}
