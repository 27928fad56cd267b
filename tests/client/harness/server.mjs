// The real server: started in a folder of its own, killed, stopped and started again.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const built = fileURLToPath(new URL("../../../target/debug/messaging-api", import.meta.url));
const binary = process.env.MESSAGING_API_BIN ?? built;

/** Starts a server with the sample data; the test ends it. `flags` as on the command line. */
export async function startServer(t, flags = []) {
  const server = new Server(flags);
  t.after(() => server.end());
  await server.start();
  return server;
}

class Server {
  folder = mkdtempSync(join(tmpdir(), "messaging-client-"));
  /** The port of the server. It changes with each start. */
  port = 0;
  url = "";
  #child = null;

  constructor(flags) {
    this.flags = flags;
  }

  async start() {
    const env = { PORT: "0", LOG: "info", LOG_FORMAT: "text" };
    const child = spawn(binary, this.flags, { cwd: this.folder, env, stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    let log = "";
    const listening = new Promise((resolve, reject) => {
      const take = (data) => {
        log += data;
        const found = /listening on (http:\/\/127\.0\.0\.1:(\d+))/.exec(log);
        if (found) resolve(found);
      };
      child.stdout.on("data", take);
      child.stderr.on("data", take);
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`the server ended with ${code} at its start:\n${log}`)));
    });
    const [, url, port] = await listening;
    this.url = url;
    this.port = Number(port);
  }

  /** Kills the server, as a crash does. */
  kill() {
    return this.#signal("SIGKILL");
  }

  /** Stops the server, as a deployment does. */
  stop() {
    return this.#signal("SIGTERM");
  }

  async #signal(signal) {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill(signal);
    await exit;
  }

  async end() {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Sends a REST request without the client library. Throws unless it succeeds. */
  async ask(method, path, body) {
    const init = { method, headers: { "Content-Type": "application/json" } };
    if (body !== undefined) init.body = JSON.stringify(body);
    const response = await fetch(this.url + path, init);
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === "" ? null : JSON.parse(text);
  }

  /** Sends a message as another user. */
  say(chatId, content, customerId = 2) {
    return this.ask("POST", `/chat/${chatId}/message`, { customerId, content });
  }

  /** Returns all messages and tombstones of a chat, in the order of `seq`. */
  log(chatId) {
    return this.#all(`/chat/${chatId}/message`);
  }

  /** Returns the latest change of every message, every membership and the chat itself, in the order of `seq`. */
  changes(chatId, since = 0) {
    return this.#all(`/chat/${chatId}/change`, since);
  }

  /** Returns the number of a chat's latest change. */
  async head(chatId) {
    return (await this.changes(chatId)).at(-1)?.seq ?? 0;
  }

  async #all(path, since = 0) {
    const all = [];
    for (;;) {
      const page = await this.ask("GET", `${path}?limit=1000&since=${all.at(-1)?.seq ?? since}`);
      if (page.length === 0) return all;
      all.push(...page);
    }
  }
}

/** Does something many times, a few at once. */
export async function many(count, work) {
  const turns = Array.from({ length: count }, (_, i) => i);
  const worker = async () => {
    for (let i; (i = turns.shift()) !== undefined; ) await work(i);
  };
  await Promise.all(Array.from({ length: 16 }, worker));
}
