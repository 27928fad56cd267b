// An error names the chat of the request that failed.

import assert from "node:assert/strict";
import { test } from "node:test";
import { startServer } from "./harness/server.mjs";
import { watched } from "./harness/watch.mjs";

/** Checks the code and the chat of what a promise is rejected with. */
async function refused(promise, code, chatId) {
  await assert.rejects(promise, (error) => {
    assert.deepEqual([error.code, error.chatId], [code, chatId], error.message);
    return true;
  });
}

test("an error names its chat, over the socket and over REST", async (t) => {
  const server = await startServer(t);
  const { client } = watched(t, server.url);
  await refused(client.connect(77), "chat_not_found", 77);
  await client.connect(1);
  await refused(client.update(1, 4711, "x"), "message_not_found", 1);
  await refused(client.delete(1, 4711), "message_not_found", 1);
  await refused(client.send(1, "").stored, "invalid_field", 1);
  await refused(client.update(1, 1, "x".repeat(70_000)), "too_large", 1);
  await refused(client.request("GET", "/chat/77"), "chat_not_found", 77);
  await refused(client.request("GET", "/chat/77/message?limit=1"), "chat_not_found", 77);
  await refused(client.request("GET", "/user/chat/77"), "chat_not_found", 77);
  await refused(client.request("GET", "/chat/user/1?chat_id=77"), "chat_not_found", 77);
  await refused(client.request("GET", "/user/4711"), "user_not_found", null);
  await refused(client.request("GET", "/user/4711/chat?q=/chat/1"), "user_not_found", null);
});

test("an error of a lost or closed connection names its chat", async (t) => {
  const server = await startServer(t);
  const { client } = watched(t, server.url);
  await client.connect(1);
  await server.kill();
  await refused(client.request("GET", "/chat/1"), "connection_lost", 1);
  const { stored } = client.send(1, "never sent");
  client.close();
  await refused(stored, "closed", 1);
  await refused(client.connect(2), "closed", 2);
  await refused(client.send(2, "x").stored, "closed", 2);
  await refused(client.request("GET", "/chat/2"), "closed", 2);
});
