// Members and the chat itself: their changes come in order, and the client keeps their present state.

import assert from "node:assert/strict";
import { test } from "node:test";
import { EarlierClient } from "./harness/earlier.mjs";
import { startProxy } from "./harness/proxy.mjs";
import { many, startServer } from "./harness/server.mjs";
import { prove, watched } from "./harness/watch.mjs";

const password = "correct horse battery staple";
const person = (server, username) => server.ask("POST", "/user", { username, password });

/** The types and numbers of all changes that a client delivered. */
const told = (watch) => watch.events
  .filter(([type]) => /^(message|update|delete|member|chat)$/.test(type))
  .map(([type, , { seq }]) => [seq, type]);

/** Checks that the client has the members and the chat that the server has. */
async function proveKept(server, chatId, watch) {
  const stored = await server.ask("GET", `/user/chat/${chatId}?limit=1000`);
  const members = stored.map(({ customerId, username, role, joinedAt }) => ({ customerId, username, role, joinedAt }));
  assert.deepEqual(await watch.client.members(chatId), members);
  assert.deepEqual(await watch.client.chat(chatId), await server.ask("GET", `/chat/${chatId}`));
}

test("members come, change and go, and the chat changes, before the client's eyes", async (t) => {
  const server = await startServer(t);
  const dora = await person(server, "dora");
  const carl = watched(t, server.url);
  const { seq } = await carl.client.connect(1);
  await proveKept(server, 1, carl);
  const member = `/chat/1/user/${dora.customerId}`;
  const { joinedAt } = await server.ask("PUT", member, {});
  await server.say(1, "Welcome, dora.");
  await server.ask("PUT", member, { role: "admin" });
  // What changes nothing takes no number.
  await server.ask("PUT", member, { role: "admin" });
  const data = { colour: "blue", order: [3, 1] };
  const chat = await server.ask("PUT", "/chat/1", { chatName: "tea", topic: "Leaves only", data });
  await server.ask("PUT", "/chat/1", { topic: null });
  await server.ask("DELETE", member);
  await carl.complete(server, 1);

  const types = ["member", "message", "member", "chat", "chat", "member"];
  assert.deepEqual(told(carl), types.map((type, i) => [seq + i + 1, type]));
  const [added, promoted, removed] = carl.of("member");
  const base = { chatId: 1, customerId: dora.customerId, username: "dora" };
  assert.deepEqual(added, { ...base, role: "participant", joinedAt });
  assert.deepEqual(promoted, { ...base, role: "admin", joinedAt });
  assert.deepEqual(removed, { ...base, role: null, joinedAt: null });
  assert.deepEqual(carl.of("chat")[0], chat);
  assert.deepEqual(chat.data, data);
  assert.equal("topic" in carl.of("chat")[1], false);
  await proveKept(server, 1, carl);
  await prove(server, 1, carl, seq);
  assert.equal(carl.of("connected").length, 1, "nothing was taken for a hole");
});

test("in open mode connecting makes a member, and the change names the user", async (t) => {
  const server = await startServer(t);
  const carl = watched(t, server.url);
  const { seq } = await carl.client.connect(1);
  const gustav = watched(t, server.url, { customerId: 3 });
  await gustav.client.connect(1);
  await carl.next("member");
  const [[, change, info]] = carl.events.filter(([type]) => type === "member");
  assert.deepEqual([change.customerId, change.username, change.role], [3, "gustav", "participant"]);
  assert.deepEqual(info, { chatId: 1, seq: seq + 1, customerId: 3, replay: false });
  await gustav.client.send(1, "Here I am.").stored;
  await carl.complete(server, 1);
  const [, , about] = carl.events.find(([type]) => type === "message");
  assert.deepEqual(about, { chatId: 1, seq: seq + 2, customerId: 3, replay: false });
});

/** The number of users that `meanwhile` made: each has a name of its own. */
let guests = 0;

/** Adds users, changes some of them, renames the chat, and sends messages in between. */
async function meanwhile(server, users, messages) {
  const ids = [];
  await many(users, async (i) => {
    const { customerId } = await person(server, `guest ${++guests}`);
    ids.push(customerId);
    await server.ask("PUT", `/chat/1/user/${customerId}`, {});
    await server.ask("PUT", "/chat/1", { chatName: `name ${i}`, topic: `topic ${i}` });
  });
  await many(messages, (i) => server.say(1, `meanwhile ${i}`));
  await many(Math.min(5, users), (i) => server.ask("PUT", `/chat/1/user/${ids[i]}`, { role: "admin" }));
  for (const id of ids.slice(-3)) await server.ask("DELETE", `/chat/1/user/${id}`);
}

test("a short absence is replayed, members and the chat included", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const carl = watched(t, proxy.url);
  await carl.client.connect(1, { since: 0 });
  await proveKept(server, 1, carl);
  const before = carl.client.seen(1);
  proxy.close();
  await meanwhile(server, 20, 20);
  proxy.reopen();
  carl.client.reconnect();
  await carl.complete(server, 1);
  const stored = await server.changes(1, before);
  assert.deepEqual(told(carl).filter(([seq]) => seq > before).map(([seq]) => seq), stored.map(({ seq }) => seq));
  assert.equal(carl.of("chat").length, 1, "the chat comes in its present state");
  assert.equal(carl.of("member").length, 20);
  await proveKept(server, 1, carl);
  await prove(server, 1, carl);
});

test("a long absence is paged, members and the chat included", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const carl = watched(t, proxy.url);
  await carl.client.connect(1, { since: 0 });
  await proveKept(server, 1, carl);
  const before = carl.client.seen(1);
  proxy.close();
  await meanwhile(server, 40, 1000);
  proxy.reopen();
  carl.client.reconnect();
  await carl.next("connected", ({ truncated }) => truncated);
  await carl.complete(server, 1);
  const stored = await server.changes(1, before);
  assert.ok(stored.length > 1000);
  assert.deepEqual(told(carl).filter(([seq]) => seq > before).map(([seq]) => seq), stored.map(({ seq }) => seq));
  await proveKept(server, 1, carl);
  await prove(server, 1, carl);
});

/** A WebSocket that changes the types of the server's frames. */
function translating(types) {
  return class extends WebSocket {
    set onmessage(listener) {
      const told = ({ data }) => {
        const frame = JSON.parse(data);
        return { data: JSON.stringify({ ...frame, type: types[frame.type] ?? frame.type }) };
      };
      super.onmessage = listener && ((event) => listener(told(event)));
    }
  };
}

test("a change of an unknown type counts", async (t) => {
  const server = await startServer(t, ["--ping-seconds", "1"]);
  const carl = watched(t, server.url, { WebSocket: translating({ "update-chat": "pin-message" }) });
  const { seq } = await carl.client.connect(1);
  await server.ask("PUT", "/chat/1", { chatName: "tea" });
  await carl.until(() => carl.client.seen(1) === seq + 1 || carl.of("connected").length > 1);
  await server.say(1, "after it");
  await carl.next("message");
  assert.deepEqual(told(carl), [[seq + 2, "message"]]);
  assert.equal(carl.of("connected").length, 1, "it was not taken for a hole");
});

test("members who change while they are read are right in the end", async (t) => {
  const server = await startServer(t);
  const { customerId } = await person(server, "dora");
  // The answer of the read is held back until the changes have come.
  let release;
  const held = new Promise((resolve) => (release = resolve));
  const slow = async (...request) => {
    const answer = await fetch(...request);
    const text = await answer.text();
    if (String(request[0]).includes("/user/chat/")) await held;
    return new Response(text, answer);
  };
  const carl = watched(t, server.url, { fetch: slow });
  const early = carl.client.members(1);
  await assert.rejects(early, { code: "not_connected" });
  carl.client.connect(1);
  const [members, again] = [carl.client.members(1), carl.client.members(1)];
  await carl.next("caught-up");
  await server.ask("PUT", `/chat/1/user/${customerId}`, {});
  await server.ask("DELETE", "/chat/1/user/2");
  await carl.until(() => carl.of("member").length === 2);
  release();
  const names = (await members).map(({ username }) => username);
  assert.deepEqual(names, ["carl", "dora"]);
  assert.deepEqual(await again, await members);
  await proveKept(server, 1, carl);

  // A new name comes with a reload.
  await server.ask("PUT", `/user/${customerId}`, { username: "Dora" });
  assert.equal((await carl.client.members(1))[1].username, "dora");
  assert.equal((await carl.client.members(1, { reload: true }))[1].username, "Dora");
  await carl.client.leave(1);
  await assert.rejects(carl.client.chat(1), { code: "not_connected" });
});

test("a new name of a user comes to the members of every chat", async (t) => {
  const server = await startServer(t);
  const carl = watched(t, server.url);
  const sigmund = watched(t, server.url, { customerId: 2 });
  for (const { client } of [carl, sigmund]) for (const chat of [1, 2]) await client.connect(chat);
  for (const chat of [1, 2]) await carl.client.members(chat);
  const before = carl.client.seen(1);
  await server.ask("PUT", "/user/2", { username: "siggi" });
  assert.deepEqual(await carl.next("user"), { customerId: 2, username: "siggi" });
  for (const chat of [1, 2]) {
    const siggi = (await carl.client.members(chat)).find(({ customerId }) => customerId === 2);
    assert.equal(siggi.username, "siggi");
  }
  assert.equal(carl.client.seen(1), before, "a name has no number");
});

test("a log of another epoch has other members", async (t) => {
  const server = await startServer(t);
  const carl = watched(t, server.url);
  const { seq } = await carl.client.connect(1, { since: { seq: 1, epoch: "another" } });
  assert.equal(carl.of("reset").length, 1);
  assert.equal(carl.client.seen(1), seq);
  await proveKept(server, 1, carl);
});

test("a client by the earlier pseudo-code ends with all messages", async (t) => {
  const server = await startServer(t, ["--ping-seconds", "1"]);
  const proxy = await startProxy(t, server);
  const client = new EarlierClient(proxy.url, 1, 1);
  t.after(() => client.end());
  const complete = async () => {
    const stored = await server.log(1);
    const wanted = new Map(stored.map(({ messageId, content }) => [messageId, content]));
    for (const limit = Date.now() + 60_000; ; await new Promise((resolve) => setTimeout(resolve, 20))) {
      const missing = [...wanted].filter(([id, content]) => client.messages.get(id) !== content);
      if (missing.length === 0 && client.messages.size === wanted.size) return;
      assert.ok(Date.now() < limit, `missing ${missing.length} of ${wanted.size}; did ${client.did.slice(-20)}`);
    }
  };
  // Live: members and renames between messages look like holes, and are healed.
  await complete();
  await meanwhile(server, 10, 10);
  const { messageId } = await server.say(1, "to be edited");
  await server.ask("PUT", `/message/${messageId}`, { content: "edited" });
  await server.ask("DELETE", `/message/${(await server.say(1, "to be deleted")).messageId}`);
  await complete();
  assert.ok(client.did.includes("gap"));

  // Away for a short time: a replay. The last changes are of members, so the ack names a later head.
  proxy.close();
  await meanwhile(server, 10, 50);
  proxy.reopen();
  await complete();

  // Away for a long time: pages of messages alone.
  proxy.close();
  await meanwhile(server, 30, 1000);
  proxy.reopen();
  await complete();
  assert.ok(client.did.includes("page"));
  await server.ask("PUT", "/chat/1", { chatName: "the end" });
  await server.say(1, "and on");
  await complete();
});
