// Every example runs as its first lines say, against the real server.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { startProxy } from "./harness/proxy.mjs";
import { many, startServer } from "./harness/server.mjs";
import { proveSent, watched } from "./harness/watch.mjs";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const example = (name) => here(`../../examples/${name}`);
/** How long an example may take, in milliseconds. */
const LIMIT = 60_000;

/** Starts a program. Its output can be awaited. The program is killed at the end of the test if it still runs. */
function start(t, url, command, ...args) {
  const env = { PATH: process.env.PATH, MESSAGING_URL: url };
  const child = spawn(command, args, { env, stdio: ["pipe", "pipe", "pipe"] });
  const program = { child, out: "", err: "" };
  const limit = setTimeout(() => child.kill("SIGKILL"), LIMIT);
  const closed = once(child, "close");
  t.after(() => child.kill("SIGKILL"));
  child.stdout.on("data", (data) => (program.out += data));
  child.stderr.on("data", (data) => (program.err += data));
  program.end = async () => {
    const [status] = await closed;
    clearTimeout(limit);
    assert.equal(status, 0, `${command} ${args.join(" ")}\n${program.out}\n${program.err}`);
    return program.out.trim().split("\n");
  };
  program.says = async (text) => {
    while (!program.out.includes(text)) {
      assert.ok(child.exitCode === null && child.signalCode === null, `never ${text}:\n${program.out}\n${program.err}`);
      await Promise.race([once(child.stdout, "data"), closed]);
    }
  };
  return program;
}

const node = (t, url, name, ...args) =>
  start(t, url, process.execPath, "--no-warnings", ...process.execArgv, example(name), ...args);

test("curl.sh", async (t) => {
  const server = await startServer(t);
  const out = await start(t, server.url, example("curl.sh")).end();
  assert.match(out[0], /^signed up: dora-\d+$/);
  assert.deepEqual(out.slice(1), [
    "joined chat 1",
    "sent twice, stored once",
    "since then:",
    '"content":"Hello, from curl."',
  ]);
  await proveSent(server, 1, ["Hello, from curl."]);
});

test("node.mjs", async (t) => {
  const server = await startServer(t);
  const program = node(t, server.url, "node.mjs", "1", "2");
  await program.says("* sigmund is here");
  await server.say(1, "Can you read this?", 1);
  await program.says("carl: Can you read this?");
  const texts = ["Every word.", "And in order.", "Goodbye."];
  program.child.stdin.end(texts.join("\n"));
  const out = await program.end();
  assert.equal(out[0], "carl: Good morning, everyone.");
  await proveSent(server, 1, texts);
});

test("bot.mjs answers once, also those who asked during a lost connection", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const bot = node(t, proxy.url, "bot.mjs");
  await bot.says("online");
  const carl = watched(t, server.url);
  await carl.client.connect(1);
  const asked = await carl.client.send(1, "!time").stored;
  const isAnswer = (question) => (message) => message.replyTo === question.messageId;
  const answer = await carl.next("message", isAnswer(asked));
  assert.equal(answer.username, "clock");
  assert.match(answer.content, /^It is \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\.$/);

  proxy.close();
  await bot.says("waiting");
  const missed = await carl.client.send(1, "!time").stored;
  proxy.reopen();
  await carl.next("message", isAnswer(missed));
  await carl.client.send(1, "thank you").stored;
  const answers = (await server.log(1)).filter(({ username }) => username === "clock");
  assert.deepEqual(answers.map(({ replyTo }) => replyTo), [asked.messageId, missed.messageId]);
  bot.child.kill("SIGTERM");
  await bot.end();
});

test("python.py resumes where it was cut, and its message is stored once", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  await many(1010, (i) => server.say(1, `long ago ${i}`));
  const log = await server.log(1);
  const names = log.map(({ seq, username, content }) => `${seq} sent: ${username}: ${content}`);
  // The cut falls within a page of missed messages.
  proxy.cutAfter(50_000);
  const python = here(".venv/bin/python");
  const out = await start(t, proxy.url, python, example("python.py"), "1", "3", "Hello from a test.").end();
  assert.equal(proxy.cuts, 1);
  // In open mode gustav becomes a member by connecting.
  const own = ["member: gustav: participant", "sent: gustav: Hello from a test."];
  assert.deepEqual(out, [...names, ...own.map((line, i) => `${log.length + 1 + i} ${line}`)]);
  await proveSent(server, 1, ["Hello from a test."]);
});

/** Text with control characters that a terminal would execute: as sent, and as an example may print it. */
const HOSTILE = "\u001b]0;owned\u0007\u001b[2J\r\n\u009b31m\u007f\u202egnp\u2028x";
const OBEYED = /[\p{Cc}\p{Bidi_Control}\u2028\u2029]/u;

function assertPrintable(...texts) {
  for (const text of texts) {
    for (const line of text.split("\n")) assert.ok(!OBEYED.test(line), JSON.stringify(line));
  }
}

test("names and messages of others cannot command a terminal: node.mjs and python.py", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  // An older database may hold such a name. The escape in JSON is as long as the replaced name.
  proxy.replace("sigmund", "\\u001b7");
  const { messageId } = await server.say(1, HOSTILE);
  await server.ask("PUT", `/message/${messageId}`, { content: `${HOSTILE} twice` });
  await server.say(1, `${HOSTILE} once`);
  const program = node(t, proxy.url, "node.mjs", "1", "2");
  await program.says("*  7 is here");
  program.child.stdin.end();
  await program.end();
  const python = start(t, proxy.url, here(".venv/bin/python"), example("python.py"), "1", "3", "Hello.");
  await python.end();
  for (const { out, err } of [program, python]) {
    assertPrintable(out, err);
    assert.match(out, / 7.*: .*\[2J.* once/);
  }
});

test("messages of others cannot command a terminal: curl.sh", async (t) => {
  const server = await startServer(t);
  // Sends a message just before curl.sh reads the changes.
  const between = createServer(async (request, response) => {
    if (request.url.includes("since=")) await server.say(1, HOSTILE);
    const body = (await request.toArray()).join("") || undefined;
    const init = { method: request.method, headers: { "Content-Type": "application/json" }, body };
    const answer = await fetch(server.url + request.url, init);
    response.writeHead(answer.status).end(await answer.text());
  });
  t.after(() => between.close());
  await once(between.listen(0, "127.0.0.1"), "listening");
  const program = start(t, server.url, example("curl.sh"), `http://127.0.0.1:${between.address().port}`);
  const out = await program.end();
  assert.match(out.at(-1), /owned.*gnp.*x/);
  assertPrintable(program.out, program.err);
});

test("page.html, which is the one in the README", async (t) => {
  const page = readFileSync(example("page.html"), "utf8");
  assert.ok(readFileSync(here("../../README.md"), "utf8").includes(`\n\`\`\`html\n${page}\`\`\`\n`));
  const files = createServer((_, response) => {
    response.setHeader("Content-Type", "text/html");
    response.end(page.replaceAll("http://127.0.0.1:8080", server.url));
  });
  t.after(() => files.close());
  await once(files.listen(0, "127.0.0.1"), "listening");
  const origin = `http://127.0.0.1:${files.address().port}`;
  const server = await startServer(t, ["--cors-allowed-origins", origin]);

  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  t.after(() => browser.close());
  const tab = await browser.newPage();
  const errors = [];
  tab.on("pageerror", (error) => errors.push(String(error)));
  await tab.goto(origin);
  await tab.getByRole("status").getByText("online").waitFor();
  await tab.getByRole("textbox", { name: "Message" }).fill("<b>Hello</b> from a page.");
  await tab.keyboard.press("Enter");
  await tab.getByText("carl: <b>Hello</b> from a page.", { exact: true }).waitFor();
  const { messageId } = await server.say(1, "Hello, page.");
  await tab.getByText("sigmund: Hello, page.").waitFor();
  await server.ask("PUT", `/message/${messageId}`, { content: "Hello, page!" });
  await tab.getByText("sigmund: Hello, page!").waitFor();
  await server.ask("DELETE", `/message/${messageId}`);
  await tab.getByText("sigmund: Hello, page!").waitFor({ state: "detached" });
  assert.equal(await tab.getByRole("listitem").count(), (await server.log(1)).filter((m) => !m.deletedAt).length);
  assert.deepEqual(errors, []);
  await proveSent(server, 1, ["<b>Hello</b> from a page."]);
});
