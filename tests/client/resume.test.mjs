// Reconnection: after a short absence, after thousands of messages, and to a deleted chat.

import assert from "node:assert/strict";
import { test } from "node:test";
import { startProxy } from "./harness/proxy.mjs";
import { many, startServer } from "./harness/server.mjs";
import { prove, watched } from "./harness/watch.mjs";

/** Makes changes while the client is away: new messages, and edits and deletions of new and older ones. */
async function meanwhile(server, count) {
  const ids = [1, 2, 3];
  await many(count, async (i) => ids.push((await server.say(1, `meanwhile ${i}`)).messageId));
  const shown = ids.slice(1);
  await many(30, (i) => server.ask("PUT", `/message/${shown[i * 3 % shown.length]}`, { content: `edited ${i}` }));
  await many(10, (i) => server.ask("DELETE", `/message/${shown[i]}`));
}

test("a short absence is replayed on the socket", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const carl = watched(t, proxy.url);
  await carl.client.connect(1, { since: 0 });
  proxy.close();
  await meanwhile(server, 100);
  proxy.reopen();
  carl.client.reconnect();
  await carl.complete(server, 1);
  await carl.until(() => carl.of("connected").length === 2);
  assert.equal(carl.of("connected")[1].truncated, false);
  const replays = carl.events.filter(([type, , info]) => /^(message|update|delete)$/.test(type) && info.replay);
  assert.ok(replays.length > 100);
  assert.ok(carl.of("delete").length >= 10);
  await prove(server, 1, carl);
});

test("a long absence is paged, and what happens meanwhile waits for its turn", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const carl = watched(t, proxy.url);
  await carl.client.connect(1, { since: 0 });
  proxy.close();
  await meanwhile(server, 1300);
  // Other users keep sending and editing while the pages are read.
  let talking = true;
  const talk = many(16, async (i) => {
    while (talking) {
      const { messageId } = await server.say(1, `live ${i}`);
      await server.ask("PUT", `/message/${messageId}`, { content: `live and edited ${i}` });
    }
  });
  proxy.reopen();
  carl.client.reconnect();
  const again = await carl.next("connected", ({ truncated }) => truncated);
  await carl.until(() => carl.of("caught-up").length === 2);
  assert.ok(carl.of("caught-up")[1].seq >= again.seq);
  await carl.next("message", ({ content }) => content.startsWith("live"), carl.of("message").length);
  talking = false;
  await talk;
  await carl.complete(server, 1);
  await prove(server, 1, carl);
  assert.deepEqual(carl.of("error"), []);
});

test("a long absence is paged although the line breaks again and again", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  await meanwhile(server, 1300);
  const carl = watched(t, proxy.url, { maxBackoffMs: 20 });
  // The first cut allows the socket and part of a page. Each further cut allows more pages.
  for (let cut = 0; cut < 6; cut++) {
    proxy.cutAfter(5000 + 20_000 * cut);
    carl.client.connect(1, { since: 0 });
    await carl.until(() => proxy.cuts > cut);
  }
  await carl.complete(server, 1);
  await carl.until(() => carl.of("caught-up").length > 0);
  await prove(server, 1, carl);
});

test("the server is killed while an absence is paged", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  await meanwhile(server, 1300);
  let pages = 0;
  const killing = async (...request) => {
    if (++pages === 3) await server.kill();
    return fetch(...request);
  };
  const carl = watched(t, proxy.url, { fetch: killing });
  await carl.client.connect(1, { since: 0 });
  await carl.next("state", ({ state }) => state === "waiting");
  assert.ok(carl.client.seen(1) >= 400 && carl.client.seen(1) < 1300, "in the middle of the pages");
  await server.start();
  await carl.complete(server, 1);
  await prove(server, 1, carl);
});

test("more than can be held back while a page is read is read later", async (t) => {
  const server = await startServer(t);
  await meanwhile(server, 1100);
  // The last page, which is not full, comes only after more than a thousand live messages.
  let release;
  const held = new Promise((resolve) => (release = resolve));
  let pages = 0;
  const slow = async (...request) => {
    const answer = await fetch(...request);
    const text = await answer.text();
    if (++pages === 6) await held;
    return new Response(text, answer);
  };
  let live = 0;
  class Counting extends WebSocket {
    set onmessage(listener) {
      super.onmessage = listener && ((event) => (listener(event), live++));
    }
  }
  const carl = watched(t, server.url, { fetch: slow, WebSocket: Counting });
  await carl.client.connect(1, { since: 0 });
  await many(1300, (i) => server.say(1, `live ${i}`));
  // Passing frames are told at once: this one comes after all the live ones.
  const sigmund = watched(t, server.url, { customerId: 2 });
  await sigmund.client.connect(1);
  await carl.next("join", ({ customerId }) => customerId === 2);
  assert.ok(live > 1300);
  assert.ok(carl.client.seen(1) < 1200, `${carl.client.seen(1)}`);
  release();
  await carl.complete(server, 1);
  await carl.until(() => carl.of("caught-up").length > 0);
  assert.ok(pages > 6, "what was too much to hold was read");
  await prove(server, 1, carl);
  assert.equal(carl.of("caught-up").length, 1);
});

test("a chat that has fewer changes than were seen is begun anew", async (t) => {
  const server = await startServer(t);
  const carl = watched(t, server.url);
  const { seq } = await carl.client.connect(1, { since: 12_345 });
  assert.deepEqual(carl.of("reset"), [{ chatId: 1 }]);
  assert.equal(carl.client.seen(1), seq);
  await server.say(1, "from here on");
  await carl.next("message", ({ content }) => content === "from here on");
  await prove(server, 1, carl, seq);
});

test("a log of another epoch is begun again, over the socket and over pages", async (t) => {
  const server = await startServer(t);
  const carl = watched(t, server.url);
  await server.say(1, "before");
  const { seq, epoch } = await carl.client.connect(1);
  assert.equal(typeof epoch, "string");
  assert.deepEqual(carl.client.place(1), { seq, epoch });
  carl.client.close();

  const same = watched(t, server.url);
  await same.client.connect(1, { since: { seq: seq - 1, epoch } });
  await same.until(() => same.client.seen(1) === seq);
  assert.deepEqual(same.of("reset"), []);
  same.client.close();

  const other = watched(t, server.url);
  const connected = await other.client.connect(1, { since: { seq: seq - 1, epoch: "another" } });
  assert.deepEqual(other.of("reset"), [{ chatId: 1 }]);
  assert.equal(connected.epoch, epoch);
  assert.equal(other.client.seen(1), seq);
  await server.say(1, "from here on");
  await other.next("message", ({ content }) => content === "from here on");
  await prove(server, 1, other, seq);
  for (const since of [-1, "1", null, { epoch }, { seq: 1, epoch: 7 }]) {
    await assert.rejects(other.client.connect(2, { since }), { code: "invalid_field" });
  }
});

test("a chat that is deleted ends, whether one is there or away", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const carl = watched(t, proxy.url);
  const { chatId } = await server.ask("POST", "/chat", { chatName: "short-lived" });
  for (const chat of [1, 2, chatId]) await carl.client.connect(chat);
  await server.ask("DELETE", `/chat/${chatId}`);
  assert.deepEqual(await carl.next("deleted-chat"), { chatId });

  proxy.close();
  await carl.next("state", ({ state }) => state === "waiting");
  const { local, stored } = carl.client.send(2, "too late");
  await server.ask("DELETE", "/chat/2");
  proxy.reopen();
  await carl.next("deleted-chat", (chat) => chat.chatId === 2);
  await assert.rejects(stored, { code: "chat_not_found" });
  assert.equal(local.state, "failed");
  await assert.rejects(carl.client.connect(2), { code: "chat_not_found" });
  // The others go on.
  await carl.client.send(1, "still here").stored;
  assert.deepEqual(carl.of("error"), []);
});

test("a member who is removed gets nothing more of that chat", async (t) => {
  const server = await startServer(t);
  const carl = watched(t, server.url);
  await carl.client.connect(1);
  await carl.client.connect(2);
  await server.ask("DELETE", "/chat/user/1?chat_id=2");
  assert.deepEqual(await carl.next("removed"), { chatId: 2 });
  assert.equal(carl.client.send(2, "not any more").local.error.code, "not_connected");
  await server.say(2, "secret");
  await server.say(1, "not secret");
  await carl.next("message", ({ content }) => content === "not secret");
  assert.deepEqual(carl.of("message").map(({ chatId }) => chatId), [1]);
});
