// The examples of the README and of docs/*.md print what the documents show. Each document starts with a
// new server and is read from top to bottom.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { startServer } from "./harness/server.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const pages = readdirSync(`${root}docs`).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`);

/** What differs from run to run: times, tokens, the epoch of the log. */
const alike = (text) => text
  .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/gu, "TIME")
  .replaceAll(/"token":"[^"]+"/gu, '"token":"TOKEN"')
  .replaceAll(/"epoch":"[^"]+"/gu, '"epoch":"EPOCH"');

/** The lines of every terminal that a document shows, in order. */
const terminals = (text) =>
  [...text.matchAll(/^```console\n([\s\S]*?)^```$/gmu)].map(([, lines]) => lines.trim().split("\n"));

/** What a command of the shell prints. */
async function run(command) {
  const child = spawn("bash", ["-c", command], { stdio: ["ignore", "pipe", "inherit"] });
  let out = "";
  child.stdout.on("data", (data) => (out += data));
  const [status] = await once(child, "close");
  assert.equal(status, 0, command);
  return out.trim();
}

/**
 * Sends the typed lines over a WebSocket and compares the frames between two typed lines with the printed
 * ones, in any order: the ack of a message and its broadcast have none.
 */
async function talk(url, lines) {
  const socket = new WebSocket(`${url.replace("http", "ws")}/ws`);
  const [come, waiting] = [[], []];
  socket.onmessage = ({ data }) => (waiting.length > 0 ? waiting.shift()(data) : come.push(data));
  const next = () => come.shift() ?? new Promise((resolve) => waiting.push(resolve));
  await new Promise((resolve, reject) => Object.assign(socket, { onopen: resolve, onerror: reject }));
  const printed = [];
  const compare = async () => {
    const read = [];
    for (const _ of printed) read.push(alike(await next()));
    assert.deepEqual(read.sort(), printed.splice(0).sort());
  };
  for (const line of lines) {
    const text = line.slice(2);
    if (line.startsWith("< ")) printed.push(alike(text));
    else {
      await compare();
      socket.send(text);
    }
  }
  await compare();
  socket.close();
}

/** Plays the terminals of one document; returns the numbers of commands and of sockets. */
async function play(t, terminals) {
  const server = await startServer(t);
  let [token, commands, sockets] = [null, 0, 0];
  for (const lines of terminals) {
    if (lines[0].startsWith("> ")) {
      await talk(server.url, lines);
      sockets += 1;
      continue;
    }
    for (const [n, line] of lines.entries()) {
      const command = line.startsWith("$ ") ? line.slice(2) : null;
      if (command === null) continue;
      commands += 1;
      const restart = /^AUTH=(\w+) cargo run$/u.exec(command);
      if (restart) {
        await server.stop();
        server.flags = [`--auth=${restart[1]}`];
        await server.start();
        continue;
      }
      const here = command.replaceAll("localhost:8080", server.url.replace("http://", ""));
      const said = await run(token === null ? here : here.replaceAll("6f2c…", token));
      assert.equal(alike(said), alike(lines[n + 1]), command);
      token = JSON.parse(said).token ?? token;
    }
  }
  return [commands, sockets];
}

test("every example prints what its document shows", async (t) => {
  let [commands, sockets] = [0, 0];
  for (const page of ["README.md", ...pages]) {
    const found = terminals(readFileSync(root + page, "utf8"));
    if (found.length === 0) continue;
    const played = await play(t, found);
    [commands, sockets] = [commands + played[0], sockets + played[1]];
  }
  assert.ok(commands >= 7 && sockets >= 1, "the documents show examples");
});
