// No message is lost, doubled or reordered while the server is killed, sockets are cut in the middle of
// a frame, and the network drops bytes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { startProxy } from "./harness/proxy.mjs";
import { startServer } from "./harness/server.mjs";
import { prove, proveSent, watched } from "./harness/watch.mjs";

/** Sends many messages without waiting. Returns their texts and their promises. */
function burst({ client }, chatId, name, count) {
  const texts = Array.from({ length: count }, (_, i) => `${name} ${i}`);
  return { texts, stored: texts.map((text) => client.send(chatId, text).stored) };
}

/** Two users, both through the proxy, connected to a chat with its history. */
async function twoUsers(t, proxy, options = {}) {
  const users = [1, 2].map((customerId) => watched(t, proxy.url, { customerId, maxQueued: 1000, ...options }));
  await Promise.all(users.map(({ client }) => client.connect(1, { since: 0 })));
  return users;
}

/** Checks both users' events against the chat, and that each sent text is stored once, in order. */
async function proveAll(server, users, bursts) {
  for (const user of users) {
    await user.complete(server, 1);
    await prove(server, 1, user);
    assert.deepEqual(user.client.outgoing(), []);
  }
  for (const { texts } of bursts) await proveSent(server, 1, texts);
}

test("the server is killed and started again in the middle of sends", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const users = await twoUsers(t, proxy);
  const sent = () => users[0].of("outgoing").filter(({ state }) => state === "sent").length;
  const bursts = [];
  for (let kill = 0; kill < 4; kill++) {
    // Both users are connected again and get new messages to send. The kill waits for the first user only.
    for (const user of users) await user.until(() => user.of("connected").length > kill);
    const before = sent();
    bursts.push(users.map((user, i) => burst(user, 1, `user ${i}, kill ${kill},`, 40)));
    await users[0].until(() => sent() > before + 20);
    await server.kill();
    await server.start();
  }
  const all = users.map((_, i) => ({
    texts: bursts.flatMap((ones) => ones[i].texts),
    stored: bursts.flatMap((ones) => ones[i].stored),
  }));
  await Promise.all(all.flatMap(({ stored }) => stored));
  await proveAll(server, users, all);
  for (const user of users) await user.until(() => user.of("connected").length >= 5);
});

test("sockets are cut in the middle of frames, dozens of times", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const users = await twoUsers(t, proxy, { maxBackoffMs: 20 });
  const bursts = users.map((user, i) => burst(user, 1, `user ${i}`, 150));
  for (let cut = 0; cut < 40; cut++) {
    proxy.cutAfter(700 + 97 * cut);
    const { cuts } = proxy;
    while (proxy.cuts === cuts) await server.say(1, "meanwhile", 3);
  }
  await Promise.all(bursts.flatMap(({ stored }) => stored));
  await proveAll(server, users, bursts);
  // Each cut ends a line that was opened after the cut before. Only chance decides how many of these lines
  // received the ack of connect-chat; the first one did.
  assert.ok(proxy.connections > 40, `${proxy.connections} connections`);
  for (const user of users) assert.ok(user.of("connected").length >= 2);
});

test("an ack that is lost leads to a second try, and to one message", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const carl = watched(t, proxy.url);
  const sigmund = watched(t, server.url, { customerId: 2 });
  await sigmund.client.connect(1);
  const { seq } = await carl.client.connect(1);
  proxy.freeze("down");
  const { local, stored } = carl.client.send(1, "Was that heard?");
  await sigmund.next("message", ({ clientMessageId }) => clientMessageId === local.clientMessageId);
  assert.equal(local.state, "sending");
  proxy.thaw();
  proxy.cut();
  const message = await stored;
  assert.equal(message.seq, seq + 1);
  await carl.complete(server, 1);
  await prove(server, 1, carl, seq);
  await proveSent(server, 1, ["Was that heard?"]);
});

test("a network that swallows everything is noticed by its silence", async (t) => {
  const server = await startServer(t, ["--ping-seconds", "1"]);
  const proxy = await startProxy(t, server);
  const carl = watched(t, proxy.url, { heartbeatMs: 1000 });
  const { seq } = await carl.client.connect(1);
  const states = carl.of("state").length;
  proxy.freeze("up", "down");
  await server.say(1, "Nobody hears this.");
  await carl.next("state", ({ state }) => state === "waiting", states);
  // The line stays open, so the client noticed the fault by the missing heartbeats.
  proxy.thaw();
  await carl.next("message");
  assert.deepEqual(carl.of("message").map(({ content }) => content), ["Nobody hears this."]);
  await prove(server, 1, carl, seq);
});

test("an answer that does not come is asked for again on another socket", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const carl = watched(t, proxy.url, { requestMs: 500 });
  const { seq } = await carl.client.connect(1);
  proxy.freeze("up");
  const { stored } = carl.client.send(1, "Hello?");
  const edit = carl.client.update(1, 1, "in vain");
  await assert.rejects(edit, ({ code }) => code === "timeout");
  proxy.thaw();
  await stored;
  await carl.complete(server, 1);
  await prove(server, 1, carl, seq);
  await proveSent(server, 1, ["Hello?"]);
});

/** A WebSocket that loses the messages for which `loses` is true. */
function leaky(loses) {
  return class extends WebSocket {
    set onmessage(listener) {
      super.onmessage = listener && ((event) => loses(JSON.parse(event.data)) || listener(event));
    }
  };
}

test("a heartbeat beyond what was seen leads to a resume", async (t) => {
  const server = await startServer(t, ["--ping-seconds", "1"]);
  let losses = 0;
  const Socket = leaky(({ type }) => type === "send-message" && losses++ < 1);
  const carl = watched(t, server.url, { WebSocket: Socket });
  const { seq } = await carl.client.connect(1);
  await server.say(1, "lost on the way");
  await carl.until(() => carl.of("connected").length === 2);
  assert.deepEqual(carl.of("message").map(({ content }) => content), ["lost on the way"]);
  assert.equal(losses, 2);
  await prove(server, 1, carl, seq);
});

test("a hole is filled over REST before anything after it is told", async (t) => {
  const server = await startServer(t);
  const Socket = leaky(({ type, content }) => type === "send-message" && content.content === "lost");
  const carl = watched(t, server.url, { WebSocket: Socket });
  const { seq } = await carl.client.connect(1);
  const texts = ["before", "lost", "after", "lost", "last"];
  for (const text of texts) await server.say(1, text);
  await carl.complete(server, 1);
  assert.deepEqual(carl.of("message").map(({ content }) => content), texts);
  assert.equal(carl.of("connected").length, 1);
  await prove(server, 1, carl, seq);
});

test("a server that restarts says so, and its clients are back at once", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const codes = [];
  class Heard extends WebSocket {
    set onclose(listener) {
      super.onclose = listener && ((event) => (codes.push(event.code), listener(event)));
    }
  }
  // With these waits, only the short one after a restart ends in this test.
  const carl = watched(t, proxy.url, { WebSocket: Heard, backoffMs: 1e9, maxBackoffMs: 1e9 });
  await carl.client.connect(1, { since: 0 });
  const { texts, stored } = burst(carl, 1, "while it restarts", 50);
  await carl.next("outgoing", ({ state }) => state === "sent");
  proxy.park();
  await server.stop();
  await server.start();
  proxy.unpark();
  await Promise.all(stored);
  assert.deepEqual(codes, [1012]);
  const waits = carl.of("state").filter(({ state }) => state === "waiting");
  assert.equal(waits.length, 1);
  assert.ok(waits[0].retryInMs <= 500, `${waits[0].retryInMs}`);
  await proveAll(server, [carl], [{ texts }]);
});
