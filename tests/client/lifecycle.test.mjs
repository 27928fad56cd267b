// Start and end of a client: sign-out, close, reconnection, and nothing left behind.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { startProxy } from "./harness/proxy.mjs";
import { startServer } from "./harness/server.mjs";
import { prove, watched } from "./harness/watch.mjs";

const library = new URL("../../web/messaging.js", import.meta.url).href;

/** Runs a script in a Node.js of its own, where an unhandled rejection is fatal and any timer left keeps it alive. */
async function run(script, url) {
  const code = `import { Messaging } from ${JSON.stringify(library)}; const url = ${JSON.stringify(url)}; ${script}`;
  const flags = ["--unhandled-rejections=strict", "--no-warnings", ...process.execArgv, "--input-type=module"];
  const child = spawn(process.execPath, [...flags, "--eval", code], { stdio: ["ignore", "pipe", "inherit"] });
  let out = "";
  child.stdout.on("data", (data) => (out += data));
  const limit = setTimeout(() => child.kill(), 60_000);
  const [status, signal] = await once(child, "close");
  clearTimeout(limit);
  assert.deepEqual([status, signal], [0, null], `ended, by itself and well; said:\n${out}`);
  return out.trim().split("\n");
}

test("after close nothing is left that keeps a program alive", async (t) => {
  const server = await startServer(t);
  const out = await run(
    `const client = new Messaging({ url, customerId: 1 });
    client.on("state", ({ state }) => console.log(state));
    await client.connect(1);
    await client.send(1, "and goodbye").stored;
    client.typing(1);
    client.markRead(1, 1);
    client.update(1, null, "in doubt");
    client.close();
    client.close();
    for (const late of [client.connect(1), client.send(1, "late").stored, client.request("GET", "/user")]) {
      await late.catch(({ code }) => console.log(code));
    }`,
    server.url,
  );
  assert.deepEqual(out, ["connecting", "online", "closed", "closed", "closed", "closed"]);
});

test("closing while nothing works leaves nothing behind either", async (t) => {
  const server = await startServer(t);
  await server.kill();
  // A leftover timer would keep the process alive for days.
  const out = await run(
    `const client = new Messaging({ url, customerId: 1, backoffMs: 1e9, maxBackoffMs: 1e9 });
    const waits = new Promise((done) => client.on("state", ({ state }) => state === "waiting" && done()));
    const connecting = client.connect(1);
    client.send(1, "never");
    client.update(1, null, "never");
    await waits;
    client.close();
    await connecting.catch(({ code }) => console.log(code));`,
    server.url,
  );
  assert.deepEqual(out, ["closed"]);
});

test("without listeners and handlers nothing is thrown, whatever goes wrong", async (t) => {
  const server = await startServer(t);
  const out = await run(
    `const client = new Messaging({ url, customerId: 1 });
    client.connect(999);
    client.connect("x");
    client.send(1, "not connected");
    await client.connect(1);
    client.send(1, "");
    client.send(1, "x".repeat(100000));
    client.update(1, 999, "x");
    client.update(999, 1, "x");
    client.delete(1, 999);
    client.request("GET", "/nowhere");
    client.leave(999);
    client.typing(999);
    client.markRead(999, 1);
    await client.send(1, "the end").stored;
    await client.request("GET", "/user/1");
    console.log("alive");
    client.close();`,
    server.url,
  );
  assert.deepEqual(out, ["alive"]);
});

test("one who is signed out is told, and does not come back by itself", async (t) => {
  const server = await startServer(t);
  const { customerId } = await server.ask("POST", "/user", { username: "dora", password: "correct horse" });
  const deleting = `await fetch(url + "/user/${customerId}", { method: "DELETE" });`;
  // The client is not closed. The program ends by itself only if no timer and no socket is left.
  const out = await run(
    `const client = new Messaging({ url, customerId: ${customerId} });
    client.on("state", ({ state }) => console.log(state));
    client.on("signed-out", ({ code, closeCode }) => console.log(code, closeCode));
    await client.connect(1);
    ${deleting}`,
    server.url,
  );
  assert.deepEqual(out, ["connecting", "online", "closed", "unauthorized 4001"]);
});

test("a browser that comes online connects at once, and one that goes offline says so", async (t) => {
  // The part of a browser that the library uses.
  const browser = new EventTarget();
  globalThis.document = Object.assign(new EventTarget(), { visibilityState: "visible" });
  globalThis.addEventListener = browser.addEventListener.bind(browser);
  globalThis.removeEventListener = browser.removeEventListener.bind(browser);
  t.after(() => {
    delete globalThis.document;
    delete globalThis.addEventListener;
    delete globalThis.removeEventListener;
  });
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  // The waits are so long that none ends within this test.
  const carl = watched(t, proxy.url, { backoffMs: 1e9, maxBackoffMs: 1e9 });
  const { seq } = await carl.client.connect(1);
  browser.dispatchEvent(new Event("offline"));
  assert.equal(carl.client.state, "waiting");
  await server.say(1, "while offline");
  browser.dispatchEvent(new Event("online"));
  assert.equal(carl.client.state, "connecting");
  await carl.next("message", ({ content }) => content === "while offline");
  await carl.until(() => carl.client.state === "online");

  proxy.cut();
  await carl.until(() => carl.client.state === "waiting");
  assert.ok(carl.of("state").at(-1).retryInMs > 0);
  globalThis.document.dispatchEvent(new Event("visibilitychange"));
  await carl.until(() => carl.client.state === "online");
  await prove(server, 1, carl, seq);
  carl.client.close();
  browser.dispatchEvent(new Event("online"));
  assert.equal(carl.client.state, "closed");
});

test("the wait for the next try grows, within its bounds", async (t) => {
  const server = await startServer(t);
  await server.kill();
  const carl = watched(t, server.url, { backoffMs: 1, maxBackoffMs: 16 });
  carl.client.connect(1);
  await carl.until(() => carl.of("state").filter(({ state }) => state === "waiting").length === 40);
  const waits = carl.of("state").filter(({ state }) => state === "waiting").map(({ retryInMs }) => retryInMs);
  assert.ok(waits[0] <= 1 && waits[1] <= 2 && waits[2] <= 4 && waits[3] <= 8, `${waits}`);
  assert.ok(waits.every((wait) => wait <= 16), `${waits}`);
  // The waits are random: they differ, and some are long.
  assert.ok(new Set(waits.slice(4)).size > 3 && Math.max(...waits) > 8, `${waits}`);
  const states = new Set(carl.of("state").map(({ state }) => state));
  assert.deepEqual([...states], ["connecting", "waiting"]);
});
