// A proxy between client and server. Its connections (lines) can be cut, closed and frozen.

import { once } from "node:events";
import { connect, createServer } from "node:net";

/** Starts a proxy in front of a server; the test ends it. */
export async function startProxy(t, server) {
  const proxy = new Proxy(server);
  t.after(() => proxy.end());
  await proxy.start();
  return proxy;
}

class Proxy {
  url = "";
  /** The number of connections made, and of cuts, so far. */
  connections = 0;
  cuts = 0;
  /** The bytes that clients sent, as text. */
  sent = "";
  #open = true;
  /** Connections that wait for the server, while there is none. */
  #parked = null;
  #frozen = new Set();
  #lines = new Set();
  /** A text in the server's bytes and its replacement, or null. */
  #replaced = null;
  /** The number of bytes to clients before every line is cut. */
  #budget = Infinity;

  constructor(server) {
    this.server = server;
    this.listener = createServer((near) => this.#join(near));
  }

  async start() {
    this.listener.listen(0, "127.0.0.1");
    await once(this.listener, "listening");
    this.url = `http://127.0.0.1:${this.listener.address().port}`;
  }

  #join(near) {
    near.on("error", () => {});
    if (!this.#open) return hangUp(near);
    if (this.#parked) return this.#parked.push(near.pause());
    this.connections++;
    const far = connect(this.server.port, "127.0.0.1");
    const line = { near, far, joined: false };
    this.#lines.add(line);
    far.on("error", () => {});
    far.once("connect", () => (line.joined = true));
    near.on("data", (data) => {
      this.sent += data.toString("latin1");
      if (!this.#frozen.has("up")) far.write(data);
    });
    far.on("data", (data) => this.#down(near, data));
    near.on("close", () => {
      this.#lines.delete(line);
      far.destroy();
    });
    far.on("close", () => {
      if (!line.joined) hangUp(near);
      else if (!this.#frozen.has("down")) near.destroy();
    });
  }

  /** Forwards bytes of the server, up to the byte at which every line is cut. */
  #down(near, data) {
    if (this.#frozen.has("down")) return;
    if (this.#replaced) data = Buffer.from(data.toString("latin1").replaceAll(...this.#replaced), "latin1");
    near.write(data.subarray(0, this.#budget));
    this.#budget -= data.length;
    if (this.#budget <= 0) {
      this.#budget = Infinity;
      this.cut();
    }
  }

  /** Cuts every line at once, even in the middle of a frame. */
  cut() {
    this.cuts++;
    for (const { near, far } of this.#lines) {
      near.destroy();
      far.destroy();
    }
  }

  /** Replaces a text in the server's bytes by another of equal length. */
  replace(text, other) {
    if (text.length !== other.length) throw new Error("the lengths of frames would be wrong");
    this.#replaced = [text, other];
  }

  /** Cuts every line after so many bytes more to the client, in the middle of a frame. */
  cutAfter(bytes) {
    this.#budget = bytes;
  }

  /** Cuts every line and refuses new ones. */
  close() {
    this.#open = false;
    this.cut();
  }

  reopen() {
    this.#open = true;
  }

  /** Lets new lines wait until `unpark`. */
  park() {
    this.#parked = [];
  }

  unpark() {
    const parked = this.#parked;
    this.#parked = null;
    for (const near of parked) this.#join(near.resume());
  }

  /** Drops all bytes in these directions ("up" to the server, "down" to the client). The lines stay open,
   * as in a network that lost one of its ends. */
  freeze(...directions) {
    this.#frozen = new Set(directions);
  }

  /** Forwards bytes again. Dropped bytes stay lost. */
  thaw() {
    this.#frozen.clear();
  }

  async end() {
    this.cut();
    this.listener.close();
  }
}

/** Closes a line without a server after its first byte from the client. Node.js 20 retries endlessly if
 * the line is closed earlier. */
function hangUp(near) {
  if (near.bytesRead > 0) near.destroy();
  else near.once("data", () => near.destroy());
}
