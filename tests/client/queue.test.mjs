// Unsent messages: offline, over reloads of the page, and refused.

import assert from "node:assert/strict";
import { test } from "node:test";
import { startProxy } from "./harness/proxy.mjs";
import { startServer } from "./harness/server.mjs";
import { prove, proveSent, watched } from "./harness/watch.mjs";

/** The part of a browser's localStorage that the library uses. */
class Storage {
  items = new Map();
  get length() {
    return this.items.size;
  }
  key(index) {
    return [...this.items.keys()][index] ?? null;
  }
  getItem(key) {
    return this.items.get(key) ?? null;
  }
  setItem(key, value) {
    this.items.set(key, String(value));
  }
  removeItem(key) {
    this.items.delete(key);
  }
}

const waiting = (watch) => watch.until(() => watch.client.state === "waiting");

test("what is sent offline goes out in order, and waits within bounds", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const carl = watched(t, proxy.url, { maxQueued: 5 });
  const { seq } = await carl.client.connect(1);
  await carl.client.connect(2);
  proxy.close();
  await waiting(carl);
  const texts = ["one", "two", "three", "four"];
  const stored = texts.map((text) => carl.client.send(1, text).stored);
  stored.push(carl.client.send(2, "elsewhere").stored);
  const sixth = carl.client.send(1, "one too many");
  assert.equal(sixth.local.state, "failed");
  await assert.rejects(sixth.stored, { code: "queue_full" });
  assert.deepEqual(carl.client.outgoing(1).map(({ content }) => content), texts);
  assert.equal(carl.client.outgoing().length, 5);
  proxy.reopen();
  carl.client.reconnect();
  const messages = await Promise.all(stored);
  assert.deepEqual(messages.slice(0, 4).map((message) => message.seq), [1, 2, 3, 4].map((n) => seq + n));
  await carl.complete(server, 1);
  await prove(server, 1, carl, seq);
  await proveSent(server, 1, texts);
  assert.deepEqual(carl.client.outgoing(), []);
});

test("unsent messages survive a reload, and are stored once", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const storage = new Storage();
  storage.setItem("somebody else's", "value");
  const before = watched(t, proxy.url, { storage });
  const { seq } = await before.client.connect(1);
  // The first message is stored, but its ack is lost. The other messages were never sent.
  proxy.freeze("down");
  const texts = ["in doubt", "unsent", "unsent too"];
  const sent = texts.map((text) => before.client.send(1, text));
  const refused = before.client.send(1, "to be refused");
  const elsewhere = watched(t, server.url, { customerId: 2 });
  await elsewhere.client.connect(1, { since: seq });
  await elsewhere.next("message", ({ content }) => content === "in doubt");
  before.client.close();
  for (const { stored } of [...sent, refused]) await assert.rejects(stored, { code: "closed" });
  assert.equal(storage.length, 5);

  // Another user of this browser does not get the unsent messages.
  const other = watched(t, server.url, { customerId: 3, storage });
  assert.deepEqual(other.client.outgoing(), []);

  proxy.thaw();
  const after = watched(t, proxy.url, { storage });
  assert.deepEqual(after.client.outgoing().map(({ content }) => content), [...texts, "to be refused"]);
  await after.client.connect(1, { since: seq });
  await after.until(() => after.client.outgoing().length === 0);
  await after.complete(server, 1);
  await prove(server, 1, after, seq);
  await proveSent(server, 1, [...texts, "to be refused"]);
  assert.deepEqual([...storage.items], [["somebody else's", "value"]]);
});

test("a failed message is kept over a reload, until it is sent again or discarded", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const storage = new Storage();
  const before = watched(t, proxy.url, { storage });
  await before.client.connect(2);
  proxy.close();
  await waiting(before);
  const lost = ["first", "second"].map((text) => before.client.send(2, text));
  // The chat is deleted, so the messages are refused without a retry.
  await server.ask("DELETE", "/chat/2");
  proxy.reopen();
  before.client.reconnect();
  for (const { stored } of lost) await assert.rejects(stored, { code: "chat_not_found" });
  before.client.close();

  const after = watched(t, proxy.url, { storage });
  const [first, second] = after.client.outgoing();
  assert.deepEqual([first, second].map(({ state, error }) => [state, error.code]), [
    ["failed", "chat_not_found"],
    ["failed", "chat_not_found"],
  ]);
  assert.equal(after.client.discard(first.clientMessageId), true);
  assert.equal(after.client.discard(first.clientMessageId), false);
  assert.equal(after.client.retry(first.clientMessageId), null);
  const { local } = after.client.retry(second.clientMessageId);
  assert.equal(local, second);
  assert.equal(local.state, "sending");
  assert.equal(storage.length, 1);
});

test("a failed message is sent again under its name", async (t) => {
  const server = await startServer(t, ["--max-frame-bytes", "2000"]);
  const carl = watched(t, server.url);
  const { seq } = await carl.client.connect(1);
  // This server has a lower frame limit, so it closes the socket after a message that is usually accepted.
  const big = carl.client.send(1, "x".repeat(3000));
  const next = carl.client.send(1, "after it");
  await assert.rejects(big.stored, { code: "too_large", closeCode: 1009 });
  assert.equal(carl.of("error")[0].closeCode, 1009);
  assert.equal((await next.stored).content, "after it");
  const again = carl.client.retry(big.local.clientMessageId);
  assert.equal(again.local, big.local);
  await assert.rejects(again.stored, { code: "too_large" });
  assert.equal(carl.client.retry(next.local.clientMessageId), null);
  await carl.complete(server, 1);
  await prove(server, 1, carl, seq);
});

test("two pages with one storage send what is left once", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const storage = new Storage();
  const one = watched(t, proxy.url, { storage });
  const { seq } = await one.client.connect(1);
  proxy.close();
  await waiting(one);
  const texts = ["a", "b", "c"];
  const stored = texts.map((text) => one.client.send(1, text).stored);
  const two = watched(t, proxy.url, { storage });
  two.client.connect(1, { since: seq });
  assert.equal(two.client.outgoing().length, 3);
  proxy.reopen();
  one.client.reconnect();
  await Promise.all(stored);
  await two.until(() => two.client.state === "online" && two.client.outgoing().length === 0);
  assert.equal(storage.length, 0);
  for (const watch of [one, two]) {
    await watch.complete(server, 1);
    await prove(server, 1, watch, seq);
  }
  await proveSent(server, 1, texts);
});

test("a storage that is full costs what it keeps, not the message", async (t) => {
  const server = await startServer(t);
  const storage = new Storage();
  storage.setItem = () => {
    throw new Error("full");
  };
  const carl = watched(t, server.url, { storage });
  await carl.client.connect(1);
  await carl.client.send(1, "sent all the same").stored;
  assert.deepEqual(carl.of("error").length, 1);
  await proveSent(server, 1, ["sent all the same"]);
});

test("an edit waits for the connection, not for ever", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const carl = watched(t, proxy.url);
  await carl.client.connect(1);
  const message = await carl.client.send(1, "tpyo").stored;
  proxy.close();
  await waiting(carl);
  const edit = carl.client.update(1, message.messageId, "typo");
  proxy.reopen();
  carl.client.reconnect();
  assert.equal((await edit).content, "typo");
  // A client with a short request timeout, while the server is unreachable.
  proxy.close();
  const hasty = watched(t, proxy.url, { requestMs: 200 });
  hasty.client.connect(1);
  await waiting(hasty);
  await assert.rejects(hasty.client.delete(1, message.messageId), { code: "offline" });
  assert.equal((await server.ask("GET", `/message/${message.messageId}`)).content, "typo");
});
