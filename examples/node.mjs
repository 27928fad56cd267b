// A chat in the terminal: prints what was and is said, sends what one types.
//
//   node examples/node.mjs [CHAT] [USER]     (Node.js 20: node --experimental-websocket …)

import { createInterface } from "node:readline";
import { Messaging } from "../web/messaging.js";

const [chat = 1, user = 1] = process.argv.slice(2).map(Number);
const url = process.env.MESSAGING_URL ?? "http://127.0.0.1:8080";
const client = new Messaging({ url, customerId: user });

/** Text from others, fit for a terminal: control characters, line separators and direction marks are spaces. */
const plain = (text) => String(text).replace(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu, " ");

const print = (text) => console.log(plain(text));

client.on("message", ({ username, content }) => print(`${username ?? "somebody"}: ${content}`));
client.on("update", ({ username, content }) => print(`${username ?? "somebody"}, edited: ${content}`));
client.on("join", ({ username }) => print(`* ${username} is here`));
client.on("leave", ({ username }) => print(`* ${username} is gone`));
client.on("member", ({ username, role }) => print(`* ${username ?? "a deleted user"}: ${role ?? "no member any more"}`));
client.on("chat", ({ chatName }) => print(`* the chat is called ${chatName}`));
client.on("reset", () => print("* the history begins again"));
client.on("state", ({ state }) => console.error(`(${state})`));

await client.connect(chat, { since: 0 });
const sent = [];
for await (const line of createInterface({ input: process.stdin })) {
  const { stored } = client.send(chat, line);
  sent.push(stored.catch((error) => console.error(plain(`not sent: ${line}: ${error.message}`))));
}
await Promise.all(sent);
client.close();
