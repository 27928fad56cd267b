// The client library against a server in required mode and with rate limits.

import assert from "node:assert/strict";
import { test } from "node:test";
import { startServer } from "./harness/server.mjs";
import { prove, proveSent, watched } from "./harness/watch.mjs";

const password = "correct horse battery staple";

/** Signs up and logs in. */
async function signIn(server, username) {
  await server.ask("POST", "/user", { username, password });
  return server.ask("POST", "/login", { username, password });
}

test("a token says who one is, until it is ended", async (t) => {
  const server = await startServer(t, ["--auth", "required"]);
  const { token, user } = await signIn(server, "dora");
  const dora = watched(t, server.url, { customerId: undefined, token: async () => token });
  const { chatId } = await dora.client.request("POST", "/chat", { chatName: "dora's" });
  const { online } = await dora.client.connect(chatId);
  assert.deepEqual(online, [{ customerId: user.customerId, username: "dora" }]);
  assert.equal((await dora.client.send(chatId, "signed").stored).customerId, user.customerId);

  // A user without a membership, and a client with an invalid token.
  const emil = watched(t, server.url, { customerId: undefined, token: (await signIn(server, "emil")).token });
  await assert.rejects(emil.client.connect(chatId), { code: "chat_not_found" });
  const nobody = watched(t, server.url, { customerId: undefined, token: "nonsense" });
  await assert.rejects(nobody.client.connect(chatId), { code: "unauthorized" });
  assert.equal(nobody.client.state, "closed");
  await assert.rejects(nobody.client.request("GET", "/me"), { code: "unauthorized", status: 401 });

  await dora.client.request("POST", "/logout");
  assert.equal((await dora.next("signed-out")).code, "unauthorized");
  assert.equal(dora.client.state, "closed");
});

test("one who is signed out goes on after a new log-in", async (t) => {
  const server = await startServer(t, ["--auth", "required"]);
  let { token } = await signIn(server, "dora");
  const dora = watched(t, server.url, { customerId: undefined, token: () => token });
  const { chatId } = await dora.client.request("POST", "/chat", { chatName: "dora's" });
  await dora.client.connect(chatId, { since: 0 });
  await dora.client.send(chatId, "before").stored;
  await dora.client.request("POST", "/logout");
  await dora.next("signed-out");
  ({ token } = await server.ask("POST", "/login", { username: "dora", password }));
  await dora.client.connect(chatId, { since: 1 });
  await dora.client.send(chatId, "after").stored;
  await dora.until(() => dora.of("message").length === 2);
  assert.deepEqual(dora.of("message").map(({ content }) => content), ["before", "after"]);
});

test("one who is too fast is slowed down; the messages stay in order", async (t) => {
  const server = await startServer(t, ["--rate-limit", "on"]);
  let refused = 0;
  class Heard extends WebSocket {
    set onmessage(listener) {
      const count = ({ data }) => (refused += JSON.parse(data).content.code === "rate_limited");
      super.onmessage = listener && ((event) => (count(event), listener(event)));
    }
  }
  const carl = watched(t, server.url, { maxQueued: 1000, WebSocket: Heard });
  const { seq } = await carl.client.connect(1);
  const texts = Array.from({ length: 120 }, (_, i) => `quick ${i}`);
  await Promise.all(texts.map((text) => carl.client.send(1, text).stored));
  assert.ok(refused > 0, "the server refused some");
  await carl.complete(server, 1);
  await prove(server, 1, carl, seq);
  await proveSent(server, 1, texts);
  assert.deepEqual(carl.of("error"), []);
});

test("a read position that is refused for its pace is told again", async (t) => {
  const server = await startServer(t, ["--rate-limit", "on"]);
  let socket;
  const refused = [];
  class Heard extends WebSocket {
    constructor(...args) {
      super(...args);
      socket = this;
      this.addEventListener("message", ({ data }) => {
        const { id, content } = JSON.parse(data);
        if (content?.code === "rate_limited" && id !== undefined) refused.push(id);
      });
    }
  }
  const carl = watched(t, server.url, { WebSocket: Heard });
  const sigmund = watched(t, server.url, { customerId: 2 });
  await Promise.all([carl, sigmund].map(({ client }) => client.connect(1)));
  const { messageId } = await server.say(1, "read me");
  for (let i = 0; i < 120; i++) socket.send(JSON.stringify({ type: "start-typing", content: { chatId: 1 } }));
  carl.client.markRead(1, messageId);
  await sigmund.next("read", (read) => read.messageId === messageId);
  assert.ok(refused.length > 0, "the server refused the mark itself");
});
