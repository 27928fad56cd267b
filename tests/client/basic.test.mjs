// The functions of the client without faults.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Messaging, MessagingError } from "../../web/messaging.js";
import { startProxy } from "./harness/proxy.mjs";
import { startServer } from "./harness/server.mjs";
import { prove, proveSent, watched } from "./harness/watch.mjs";

const fails = (code) => (error) => {
  assert.ok(error instanceof MessagingError, String(error));
  assert.equal(error.code, code);
  return true;
};

test("a message is shown at once, then stored, edited and deleted, for everyone", async (t) => {
  const server = await startServer(t);
  const carl = watched(t, server.url, { username: "Carl the Great" });
  const sigmund = watched(t, server.url, { customerId: 2 });
  const head = (await server.log(1)).at(-1).seq;
  await sigmund.client.connect(1);
  const { epoch, ...connected } = await carl.client.connect(1);
  assert.equal(typeof epoch, "string");
  assert.deepEqual(connected, {
    chatId: 1,
    seq: head,
    online: [
      { customerId: 1, username: "Carl the Great" },
      { customerId: 2, username: "sigmund" },
    ],
    truncated: false,
  });

  const { local, stored } = carl.client.send(1, "Hi world.", { replyTo: 1 });
  assert.equal(local.state, "sending");
  assert.deepEqual(carl.client.outgoing(1), [local]);
  const message = await stored;
  assert.equal(local.state, "sent");
  assert.deepEqual(local.message, message);
  assert.deepEqual(carl.client.outgoing(), []);
  assert.equal(message.clientMessageId, local.clientMessageId);
  assert.equal(message.replyTo, 1);
  assert.deepEqual(message, await server.ask("GET", `/message/${message.messageId}`));
  assert.deepEqual(carl.of("outgoing").map(({ state }) => state), ["sending", "sent"]);

  const edited = await carl.client.update(1, message.messageId, "Hi, world!");
  assert.equal(edited.content, "Hi, world!");
  const again = await carl.client.update(1, null, "Hi!");
  assert.equal(again.messageId, message.messageId);
  const deleted = await carl.client.delete(1, message.messageId);
  assert.deepEqual(deleted, { messageId: message.messageId, chatId: 1, seq: head + 4 });

  for (const watch of [carl, sigmund]) {
    await watch.complete(server, 1);
    const types = watch.events.map(([type]) => type).filter((type) => /^(message|update|delete)$/.test(type));
    assert.deepEqual(types, ["message", "update", "update", "delete"]);
    assert.deepEqual(watch.of("delete"), [{ messageId: message.messageId, chatId: 1, customerId: 1, seq: head + 4 }]);
    await prove(server, 1, watch, head);
  }
  await sigmund.next("join", (who) => who.customerId === 1 && who.username === "Carl the Great");
  await carl.client.leave(1);
  await sigmund.next("leave", (who) => who.customerId === 1);
  assert.equal(carl.client.state, "offline");
});

test("many chats share one socket, and history comes first", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const carl = watched(t, proxy.url);
  const chats = [1, 2];
  for (let i = 0; i < 8; i++) chats.push((await server.ask("POST", "/chat", { chatName: `chat ${i}` })).chatId);
  await Promise.all(chats.map((chat) => carl.client.connect(chat, { since: 0 })));
  await Promise.all(chats.map((chat) => carl.client.send(chat, `to ${chat}`).stored));
  assert.equal(proxy.connections, 1);
  for (const chat of chats) {
    await carl.complete(server, chat);
    const stored = await prove(server, chat, carl);
    assert.equal(stored.at(-1).content, `to ${chat}`);
  }
  // Connecting again changes nothing.
  assert.equal((await carl.client.connect(1)).chatId, 1);
  assert.equal(carl.of("connected").length, chats.length);
});

test("one that leaves and comes back at once gets each change once", async (t) => {
  const server = await startServer(t);
  const carl = watched(t, server.url);
  await carl.client.connect(2);
  await carl.client.connect(1, { since: 0 });
  const texts = [];
  for (let i = 0; i < 20; i++) {
    texts.push(`while coming and going ${i}`);
    const said = server.say(1, texts[i]);
    const since = carl.client.seen(1);
    carl.client.leave(1);
    await carl.client.connect(1, { since });
    await said;
  }
  await carl.complete(server, 1);
  await prove(server, 1, carl);
  await proveSent(server, 1, texts);
  assert.deepEqual(carl.of("error"), []);
});

test("what is refused says why, and the socket stays", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const carl = watched(t, proxy.url);
  await assert.rejects(carl.client.connect(999), fails("chat_not_found"));
  for (const chat of [0, -1, 1.5, "1", null]) {
    await assert.rejects(carl.client.connect(chat), fails("invalid_field"));
  }
  await assert.rejects(carl.client.connect(1, { since: -1 }), fails("invalid_field"));
  await carl.client.connect(1, { since: 0 });
  const theirs = carl.of("message").find(({ customerId }) => customerId === 2);
  await assert.rejects(carl.client.update(1, theirs.messageId, "mine now"), fails("forbidden"));
  await assert.rejects(carl.client.update(2, null, "nowhere"), fails("not_connected"));
  await assert.rejects(carl.client.delete(1, 999), fails("message_not_found"));

  const refused = { "": "invalid_field", " \n": "invalid_field", ["x".repeat(20_000)]: "too_large" };
  // With its escapes in JSON, this text exceeds the frame limit.
  refused["\u0001".repeat(16_000)] = "too_large";
  for (const [text, code] of Object.entries(refused)) {
    const { local, stored } = carl.client.send(1, text);
    await assert.rejects(stored, fails(code));
    assert.equal(local.state, "failed");
    assert.equal(carl.client.discard(local.clientMessageId), true);
  }
  const { local, stored } = carl.client.send(2, "not there");
  assert.equal(local.state, "failed");
  await assert.rejects(stored, fails("not_connected"));
  assert.deepEqual(carl.client.outgoing(), []);
  await carl.client.send(1, "still here").stored;
  assert.ok(proxy.connections <= 2);
});

test("REST answers and errors come as they are", async (t) => {
  const server = await startServer(t);
  const { client } = watched(t, server.url);
  assert.equal((await client.request("GET", "/user/1")).username, "carl");
  const chat = await client.request("POST", "/chat", { chatName: "over REST" });
  assert.equal(await client.request("DELETE", `/chat/${chat.chatId}`), null);
  await assert.rejects(client.request("GET", "/chat/999"), (error) => {
    assert.equal(error.status, 404);
    assert.equal(error.message, "Chat 999 does not exist");
    return fails("chat_not_found")(error);
  });
  await assert.rejects(client.request("GET", "@elsewhere.example/"), fails("invalid_field"));
  await server.kill();
  await assert.rejects(client.request("GET", "/user/1"), fails("connection_lost"));
});

test("a list has the path of its next page", async (t) => {
  const server = await startServer(t);
  const { client } = watched(t, server.url);
  const names = [];
  let pages = 0;
  for (let path = "/user?limit=2"; path; pages++) {
    const page = await client.request("GET", path);
    names.push(...page.map(({ username }) => username));
    path = page.next;
  }
  assert.deepEqual(names, ["carl", "sigmund", "gustav"]);
  assert.equal(pages, 2);
  // The list equals its rows: the property for the next page is not enumerable.
  const newest = await client.request("GET", "/chat/1/message?limit=2");
  assert.match(newest.next, /^\/chat\/1\/message\?.*before=/);
  assert.deepEqual(newest, await server.ask("GET", "/chat/1/message?limit=2"));
  assert.equal("next" in (await client.request("GET", "/user/1")), false);
});

test("without a WebSocket REST works, and connecting says what is missing", async (t) => {
  const server = await startServer(t);
  const { WebSocket: builtIn } = globalThis;
  t.after(() => (globalThis.WebSocket = builtIn));
  globalThis.WebSocket = undefined;
  const { client, events } = watched(t, server.url);
  assert.equal((await client.request("GET", "/user/1")).username, "carl");
  await assert.rejects(client.connect(1), (error) => {
    assert.equal(error.message, "WebSocket must be given where it is not built in");
    return fails("invalid_field")(error);
  });
  assert.deepEqual(events, []);
  // A WebSocket class that is defined later is used.
  globalThis.WebSocket = builtIn;
  assert.equal((await client.connect(1)).chatId, 1);
});

test("a token goes into frames and headers, and never into a URL", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  let given = 0;
  const token = async () => `secret-${++given}`;
  // Frames are masked on the wire, so they are recorded at the call of `send`.
  const frames = [];
  class Heard extends WebSocket {
    send(text) {
      frames.push(JSON.parse(text));
      super.send(text);
    }
  }
  const { client } = watched(t, proxy.url, { token, WebSocket: Heard });
  await assert.rejects(client.connect(1), fails("unauthorized"));
  await client.request("GET", "/user/1").catch(() => {});
  assert.equal(frames[0].type, "connect-chat");
  assert.equal(frames[0].content.token, "secret-1");
  assert.match(proxy.sent, /authorization: Bearer secret-2/i);
  const asked = proxy.sent.match(/GET \/\S* HTTP\/1.1/g);
  assert.equal(asked.length, 2);
  for (const line of asked) assert.doesNotMatch(line, /secret/);
});

test("what cannot work is said at once", () => {
  assert.throws(() => new Messaging({ customerId: 1 }), fails("invalid_field"));
  assert.throws(() => new Messaging({ url: "ftp://x", customerId: 1 }), fails("invalid_field"));
  // Unsent messages of one user must not go out in the name of another.
  const storage = { length: 0, key: () => null, getItem: () => null, setItem() {}, removeItem() {} };
  assert.throws(() => new Messaging({ url: "http://127.0.0.1:1", storage }), fails("invalid_field"));
});

test("a listener that throws harms nobody else", async (t) => {
  const server = await startServer(t);
  const carl = watched(t, server.url);
  const reported = [];
  const { error } = console;
  t.after(() => (console.error = error));
  console.error = ({ message }) => reported.push(message);
  carl.client.on("message", () => {
    throw new Error("mine");
  });
  let heard = 0;
  const end = carl.client.on("message", () => heard++);
  await carl.client.connect(1);
  await carl.client.send(1, "one").stored;
  await carl.until(() => heard === 1);
  end();
  await carl.client.send(1, "two").stored;
  await carl.complete(server, 1);
  assert.equal(heard, 1);
  assert.deepEqual(reported, ["mine", "mine"]);
  await prove(server, 1, carl, 7);
});
