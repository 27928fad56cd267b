// Typing notifications and read positions.

import assert from "node:assert/strict";
import { test } from "node:test";
import { startProxy } from "./harness/proxy.mjs";
import { startServer } from "./harness/server.mjs";
import { watched } from "./harness/watch.mjs";

test("typing is told once in a while, however fast somebody types", async (t) => {
  const server = await startServer(t);
  const carl = watched(t, server.url);
  const sigmund = watched(t, server.url, { customerId: 2 });
  carl.client.typing(1);
  await Promise.all([carl, sigmund].map(({ client }) => client.connect(1)));
  for (let key = 0; key < 50; key++) carl.client.typing(1);
  await carl.client.send(1, "so many keys").stored;
  await sigmund.next("message");
  assert.deepEqual(sigmund.of("typing"), [{ chatId: 1, customerId: 1, username: "carl" }]);
  assert.deepEqual(carl.of("error"), []);
});

test("what was read is told once, only forward, and also after a lost connection", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const carl = watched(t, proxy.url);
  const sigmund = watched(t, server.url, { customerId: 2 });
  await Promise.all([carl, sigmund].map(({ client }) => client.connect(1)));
  const ids = [];
  for (let i = 0; i < 4; i++) ids.push((await server.say(1, `to be read ${i}`)).messageId);
  carl.client.markRead(1, ids[1]);
  carl.client.markRead(1, ids[0]);
  carl.client.markRead(1, ids[1]);
  await sigmund.next("read");
  proxy.close();
  await carl.until(() => carl.client.state === "waiting");
  carl.client.markRead(1, ids[2]);
  carl.client.markRead(1, ids[3]);
  proxy.reopen();
  carl.client.reconnect();
  await sigmund.next("read", ({ messageId }) => messageId === ids[3]);
  assert.deepEqual(sigmund.of("read"), [ids[1], ids[3]].map((messageId) => ({ chatId: 1, customerId: 1, messageId })));
  const chats = await server.ask("GET", "/user/1/chat");
  assert.equal(chats.find(({ chatId }) => chatId === 1).lastReadMessageId, ids[3]);
  // A mark that is refused leads to one error event.
  carl.client.markRead(1, ids[3] + 1);
  assert.equal((await carl.next("error")).code, "message_not_found");
});
