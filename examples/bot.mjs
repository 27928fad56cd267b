// A bot: answers "!time" with the time, once each, also to those who asked during a lost connection.
//
//   node examples/bot.mjs [CHAT]     (Node.js 20: node --experimental-websocket …)

import { Messaging } from "../web/messaging.js";

const chat = Number(process.argv[2] ?? 1);
const url = process.env.MESSAGING_URL ?? "http://127.0.0.1:8080";

/** Text from others, fit for a terminal: control characters, line separators and direction marks are spaces. */
const plain = (text) => String(text).replace(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu, " ");

/** The bot's user, made where there is none yet. */
async function user(rest, username) {
  try {
    return await rest.request("GET", `/user/username/${username}`);
  } catch (error) {
    if (error.code !== "user_not_found") throw error;
    return rest.request("POST", "/user", { username, password: crypto.randomUUID() });
  }
}

const { customerId } = await user(new Messaging({ url }), "clock");
const bot = new Messaging({ url, customerId });

// Each message comes once, whatever becomes of the connection: no list of what was answered is kept.
// After a restore from a backup ("reset") the bot goes on with what is said from then on.
bot.on("message", ({ messageId, content }) => {
  if (content.trim() === "!time") bot.send(chat, `It is ${new Date().toUTCString()}.`, { replyTo: messageId });
});
bot.on("state", ({ state, retryInMs }) => console.log(retryInMs === null ? state : `${state}, again in ${retryInMs} ms`));
bot.on("reset", () => console.log("the history begins again"));
bot.on("error", ({ message }) => console.error(plain(message)));
process.on("SIGTERM", () => bot.close());
process.on("SIGINT", () => bot.close());

await bot.connect(chat);
