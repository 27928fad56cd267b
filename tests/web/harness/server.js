// The real server in a process of its own, on a temporary database. It can be killed and started
// again in the middle of a test.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const BINARY = process.env.MESSAGING_API_BIN;
if (!BINARY) throw new Error("MESSAGING_API_BIN must name the server's binary; scripts/test sets it");
/** How long the server may take to listen. */
const START_MS = 30_000;

async function freePort() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  return port;
}

export class Server {
  /** Starts one on a new, empty database; `settings` are further variables, such as AUTH. */
  static async start(settings = {}) {
    const server = new Server();
    server.folder = await mkdtemp(join(tmpdir(), "messaging-web-"));
    server.port = await freePort();
    server.url = `http://127.0.0.1:${server.port}`;
    server.settings = { DEMO_DATA: "false", LOG: "info", LOG_FORMAT: "text", AUTH: "open", ...settings };
    await server.resume();
    return server;
  }

  /** Starts it again, on the same port and the same database. */
  async resume() {
    const env = { PORT: String(this.port), DATABASE_URL: "sqlite://messaging.db", ...this.settings };
    this.process = spawn(BINARY, [], { cwd: this.folder, env, stdio: ["ignore", "pipe", "pipe"] });
    let log = "";
    await new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`the server does not listen:\n${log}`)), START_MS);
      const read = (chunk) => {
        log += chunk;
        if (!log.includes("listening on")) return;
        clearTimeout(late);
        resolve();
      };
      this.process.stdout.on("data", read);
      this.process.stderr.on("data", read);
      this.process.once("exit", () => reject(new Error(`the server ended at its start:\n${log}`)));
    });
  }

  /** kill -9 */
  async kill() {
    const gone = once(this.process, "exit");
    this.process.kill("SIGKILL");
    await gone;
  }

  /** Ends it and throws its database away. */
  async stop() {
    if (this.process.exitCode === null && this.process.signalCode === null) await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Asks the REST API; throws where it refuses. */
  async ask(method, path, body, token) {
    const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
    const answer = await fetch(this.url + path, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text === "" ? null : JSON.parse(text);
  }

  /** Makes a user. */
  user(username) {
    return this.ask("POST", "/user", { username, password: "correct horse battery" });
  }

  /** Makes a chat with these users in it, in open mode. */
  async chat(chatName, ...users) {
    const chat = await this.ask("POST", "/chat", { chatName });
    for (const [n, { customerId }] of users.entries()) {
      await this.ask("PUT", `/chat/${chat.chatId}/user/${customerId}`, { role: n === 0 ? "admin" : "participant" });
    }
    return chat;
  }

  /** Sends a message, in open mode. */
  say(chat, user, content) {
    return this.ask("POST", `/chat/${chat.chatId}/message`, { customerId: user.customerId, content });
  }

  /** Every stored message of a chat, oldest first. */
  async messages(chatId, token) {
    const all = [];
    for (let since = 0; ;) {
      const page = await this.ask("GET", `/chat/${chatId}/message?since=${since}&limit=1000`, undefined, token);
      if (page.length === 0) return all.sort((a, b) => a.messageId - b.messageId);
      all.push(...page);
      since = page.at(-1).seq;
    }
  }
}
