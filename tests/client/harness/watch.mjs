// Records the events of a client, and checks them against the stored messages.

import assert from "node:assert/strict";
import { Messaging } from "../../../web/messaging.js";

const EVENTS = [
  "message", "update", "delete", "member", "chat", "user", "join", "leave", "typing", "read", "removed", "deleted-chat",
  "connected", "caught-up", "reset", "outgoing", "state", "signed-out", "error",
];
/** How long a test waits for an event, in milliseconds. */
const LIMIT = 60_000;

/** Makes a client with short waits and records its events. The client is closed with the test. */
export function watched(t, url, options = {}) {
  const client = new Messaging({ url, customerId: 1, backoffMs: 20, maxBackoffMs: 200, ...options });
  t.after(() => client.close());
  return new Watch(client);
}

export class Watch {
  /** All events so far: `[type, ...arguments of the listener]`. */
  events = [];
  #waiting = new Set();

  constructor(client) {
    this.client = client;
    for (const type of EVENTS) {
      client.on(type, (...args) => {
        // Local messages change later, so a copy is recorded.
        this.events.push([type, ...args.map((what) => (what instanceof Error ? what : structuredClone(what)))]);
        for (const check of [...this.#waiting]) check();
      });
    }
  }

  /** The first listener argument of each event of these types. */
  of(...types) {
    return this.events.filter(([type]) => types.includes(type)).map(([, what]) => what);
  }

  /** Calls `isTrue` now and after every event, until it returns a true value. Resolves to that value. */
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

  /** Waits for an event of this type that satisfies `isTrue`. Skips the first `from` events of the type. */
  async next(type, isTrue = () => true, from = 0) {
    return this.until(() => this.of(type).slice(from).find(isTrue));
  }

  /** Waits until the client has delivered every stored change of a chat. */
  async complete(server, chatId) {
    const head = await server.head(chatId);
    await this.until(() => this.client.seen(chatId) === head);
  }
}

/**
 * Checks that the client delivered each change of a chat after `since` once and in order, and that these
 * changes lead to the stored messages.
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

/** Checks that each text is stored once, in the order of the sends. */
export async function proveSent(server, chatId, texts) {
  const stored = await server.log(chatId);
  const mine = stored.filter(({ content }) => texts.includes(content));
  mine.sort((a, b) => a.messageId - b.messageId);
  assert.deepEqual(mine.map(({ content }) => content), texts);
}
