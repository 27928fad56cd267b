// Members and the chat itself change before one's eyes: in the heading, in the list, among the people, and as a
// line between the messages; live, after an absence, and after a reload.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { LARGE, SMALL, back, connection, expectAccessible, expectOutage, launch, saying, visitor, write } from "./harness/browser.js";
import { Server } from "./harness/server.js";

const FOLDER = new URL("../../target/web/", import.meta.url).pathname;
const PASSWORD = "correct horse battery";

let [server, browser] = [];

before(async () => {
  await mkdir(FOLDER, { recursive: true });
  browser = await launch();
});

beforeEach(async () => {
  server = await Server.start({ AUTH: "required" });
});

afterEach(() => server.stop());

after(() => browser?.close());

/** Makes a user, and logs in over REST. */
async function person(name) {
  const user = await server.user(name);
  const { token } = await server.ask("POST", "/login", { username: name, password: PASSWORD });
  const ask = (method, path, body) => server.ask(method, path, body, token);
  return { ...user, ask };
}

/** Makes a chat of Carl, with Ada in it; both as `person` gives them. */
async function tea() {
  const [carl, ada, dora] = [await person("carl"), await person("ada"), await person("dora")];
  const chat = await carl.ask("POST", "/chat", { chatName: "tea" });
  await carl.ask("PUT", `/chat/${chat.chatId}/user/${ada.customerId}`, {});
  const say = (who, content) => who.ask("POST", `/chat/${chat.chatId}/message`, { content });
  const role = (user, role) => carl.ask("PUT", `/chat/${chat.chatId}/user/${user.customerId}`, { role });
  const remove = (who, user) => who.ask("DELETE", `/chat/${chat.chatId}/user/${user.customerId}`);
  const change = (fields) => carl.ask("PUT", `/chat/${chat.chatId}`, fields);
  return { carl, ada, dora, chat, say, role, remove, change };
}

/** Opens the page as a user. */
async function visit(t, { username }, options) {
  const page = await visitor(browser, server.url, options);
  t.after(() => page.context().close());
  await gate(page);
  await page.getByLabel("Name").fill(username);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Log in", exact: true }).click();
  await page.getByRole("navigation", { name: "Chats" }).waitFor();
  return page;
}

/** Lets `page.shut()` cut the page off from its socket until `page.unshut()`, and `page.tell()` send it a frame. */
async function gate(page) {
  const open = new Set();
  let shut = false;
  await page.routeWebSocket(/\/ws$/u, (socket) => {
    if (shut) return socket.close();
    open.add(socket);
    socket.connectToServer();
  });
  page.shut = async () => {
    shut = true;
    for (const socket of open) await socket.close();
    open.clear();
    await connection(page, "Connection lost.");
  };
  page.unshut = () => (shut = false);
  page.tell = (frame) => open.forEach((socket) => socket.send(JSON.stringify(frame)));
}

const notice = (page, words) => page.locator(".notice p", { hasText: words });
/** The texts of all rows, in order: messages and notices. */
const rows = (page) => page.locator(".said, .notice p").allTextContents();
const spoken = (page, words) => page.locator("#polite", { hasText: words }).waitFor({ state: "attached" });

test("what changes is seen and heard at once", async (t) => {
  const { carl, ada, dora, say, role, remove, change } = await tea();
  await say(carl, "Who brings the pot?");
  const page = await visit(t, ada);
  await saying(page, "Who brings the pot?").waitFor();
  await page.getByText("2 people, 1 online").waitFor();

  const people = page.locator(".people li");
  await role(dora, "participant");
  await notice(page, "carl added dora").waitFor();
  await spoken(page, "carl added dora");
  await page.getByText("3 people, 1 online").waitFor();
  await people.filter({ hasText: "dora" }).waitFor();
  await say(dora, "I do.");
  await role(dora, "admin");
  await notice(page, "dora is an admin now").waitFor();
  await people.filter({ hasText: "dora" }).filter({ hasText: "admin" }).waitFor();
  await role(dora, "participant");
  await notice(page, "dora is no longer an admin").waitFor();

  await change({ chatName: "green tea" });
  await notice(page, "carl renamed the chat to green tea").waitFor();
  await page.getByRole("heading", { name: "green tea", level: 1 }).waitFor();
  await page.locator(".chats a", { hasText: "green tea" }).waitFor();
  await page.waitForFunction(() => document.title === "green tea");
  await change({ topic: "Leaves only", data: { for: "another program" } });
  await notice(page, "carl set the topic: Leaves only").waitFor();
  await page.locator(".heading .topic", { hasText: "Leaves only" }).waitFor();
  await page.locator(".panel .topic", { hasText: "Leaves only" }).waitFor();
  // Data are for programs.
  await change({ data: null });
  await change({ topic: null });
  await notice(page, "carl removed the topic").waitFor();
  await page.locator(".heading .topic").waitFor({ state: "hidden" });

  // The right to add and to rename comes and goes with the role.
  await role(ada, "admin");
  await notice(page, "You are an admin now").waitFor();
  await page.getByRole("button", { name: "Rename chat" }).waitFor();
  await role(ada, "participant");
  await page.getByRole("button", { name: "Rename chat" }).waitFor({ state: "hidden" });
  await remove(dora, dora);
  await notice(page, "dora left").waitFor();
  await people.filter({ hasText: "dora" }).waitFor({ state: "detached" });
  await role(dora, "participant");
  await page.getByText("3 people, 1 online").waitFor();
  await remove(carl, dora);
  await notice(page, "carl removed dora").waitFor();
  await page.getByText("2 people, 1 online").waitFor();

  await say(carl, "Let us see.");
  await saying(page, "Let us see.").waitFor();
  assert.equal((await rows(page)).at(-1), "Let us see.");
  await expectAccessible(page, "the notices");
  page.expectClean();
});

test("an absence and a reload show the same places", async (t) => {
  const { carl, ada, dora, say, role, change } = await tea();
  for (const text of ["one", "two"]) await say(carl, text);
  const page = await visit(t, ada);
  await saying(page, "two").waitFor();
  await page.getByText("2 people, 1 online").waitFor();
  await page.shut();
  await role(dora, "participant");
  await say(dora, "three");
  await change({ chatName: "coffee" });
  await say(carl, "four");
  page.unshut();
  await saying(page, "four").waitFor();
  await notice(page, "carl renamed the chat to coffee").waitFor();
  const told = ["one", "two", "carl added dora", "three", "carl renamed the chat to coffee", "four"];
  const ends = async (expected) => assert.deepEqual((await rows(page)).slice(-expected.length), expected);
  await ends(told);
  await page.getByText("3 people, 1 online").waitFor();
  await page.getByRole("heading", { name: "coffee", level: 1 }).waitFor();

  // The log has the present state of each thing: which of the chat's values changed is not known.
  await page.reload();
  await notice(page, "carl changed the chat").waitFor();
  await ends([...told.slice(0, 4), "carl changed the chat", "four"]);
  page.expectClean();
});

test("the server is killed: members and names are right again afterwards", async (t) => {
  const { carl, ada, dora, say, role, change } = await tea();
  await say(carl, "one");
  const page = await visit(t, ada);
  await page.getByText("2 people, 1 online").waitFor();
  expectOutage(page);
  await page.shut();
  await server.kill();
  await server.resume();
  await role(dora, "admin");
  await change({ chatName: "coffee", topic: "Beans" });
  await back({ resume: page.unshut }, page);
  await page.getByText("3 people, 1 online").waitFor();
  await notice(page, "carl added dora as an admin").waitFor();
  await notice(page, "carl renamed the chat to coffee").waitFor();
  await notice(page, "carl set the topic: Beans").waitFor();
  page.expectClean();
});

test("the topic is set and removed by hand; the keyboard reaches the notices", async (t) => {
  const { carl, dora, role, say } = await tea();
  const page = await visit(t, carl);
  await page.getByText("2 people, 1 online").waitFor();
  const topic = page.getByRole("button", { name: "Topic", exact: true });
  await topic.click();
  await page.getByRole("dialog", { name: "Set a topic" }).getByLabel("Topic").fill("  Leaves only ");
  await page.keyboard.press("Enter");
  await notice(page, "You set the topic: Leaves only").waitFor();
  await topic.click();
  await page.getByRole("dialog", { name: "Change the topic" }).getByLabel("Topic").fill("");
  await page.keyboard.press("Enter");
  await notice(page, "You removed the topic").waitFor();
  await write(page, "Now then.");
  await saying(page, "Now then.").getByText("Sent").waitFor();
  await role(dora, "participant");
  await notice(page, "You added dora").waitFor();
  await say(dora, "Here I am.");
  await saying(page, "Here I am.").waitFor();

  await page.locator("#composer").press("Escape");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("ArrowUp");
  await page.waitForFunction(() => document.activeElement.matches(".notice"));
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "You added dora");
  await page.keyboard.press("Delete");
  assert.equal(await page.locator("dialog").count(), 0, "a notice is not deleted");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("e");
  await page.getByText("Editing a message").waitFor();
  page.expectClean();
});

test("a user's new name is shown wherever the old one was", async (t) => {
  const { carl, ada, say } = await tea();
  await say(carl, "Who is Carl?");
  const page = await visit(t, ada);
  await page.getByText("2 people, 1 online").waitFor();
  page.tell({ type: "update-user", content: { customerId: carl.customerId, username: "caro" } });
  await page.locator(".people li", { hasText: "caro" }).waitFor();
  await saying(page, "Who is Carl?").locator(".author", { hasText: "caro" }).waitFor();
  await page.locator(".chats a", { hasText: "caro: Who is Carl?" }).waitFor();
  await notice(page, "caro added you").waitFor();
  page.tell({ type: "update-user", content: { customerId: ada.customerId, username: "ida" } });
  await page.locator(".sidebar .who", { hasText: "ida" }).waitFor();
  await page.locator(".people li", { hasText: "ida (you)" }).waitFor();
  page.expectClean();
});

test("many changes in a row take five lines", async (t) => {
  const { carl, ada, say, role } = await tea();
  await say(carl, "Come in, all of you.");
  const page = await visit(t, ada);
  await page.getByText("2 people, 1 online").waitFor();
  for (let n = 1; n <= 8; n += 1) await role(await server.user(`guest ${n}`), "participant");
  await notice(page, "carl added guest 8").waitFor();
  const lines = ["4 earlier changes", ...[5, 6, 7, 8].map((n) => `carl added guest ${n}`)];
  const last = page.locator(".notice").last().locator("p");
  assert.deepEqual(await last.allTextContents(), lines);
  await page.reload();
  await notice(page, "carl added guest 8").waitFor();
  assert.deepEqual(await last.allTextContents(), lines);
  page.expectClean();
});

for (const colorScheme of ["light", "dark"]) {
  for (const viewport of [LARGE, SMALL]) {
    test(`the look: ${colorScheme}, ${viewport.width} pixels`, async (t) => {
      const { carl, ada, dora, say, role, change } = await tea();
      await say(carl, "Morning. Who brings the pot today?");
      const touch = viewport === SMALL;
      const page = await visit(t, ada, { colorScheme, viewport, hasTouch: touch, isMobile: touch });
      if (touch) await page.locator(".chats a", { hasText: "tea" }).tap();
      await page.getByText("2 people, 1 online").waitFor();
      await role(dora, "participant");
      await say(dora, "I do. The blue one?");
      await say(dora, "It holds more.");
      await role(dora, "admin");
      await change({ chatName: "Tea on Tuesdays, in the small kitchen" });
      await change({ topic: "Leaves only, no bags: the strainer is in the second drawer, and the list of who brings what hangs on the door." });
      await role(await server.user("خالد"), "participant");
      await say(carl, "Settled then.");
      await saying(page, "Settled then.").waitFor();
      await notice(page, "خالد").waitFor();
      await page.mouse.move(1, 1);
      await page.screenshot({ path: `${FOLDER}changes-${viewport.width}-${colorScheme}.png` });
      await expectAccessible(page, "the notices");
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= viewport.width);
      if (touch) {
        await page.getByRole("button", { name: "People and settings" }).tap();
        await page.locator(".panel .topic").waitFor();
        await page.screenshot({ path: `${FOLDER}changes-people-${viewport.width}-${colorScheme}.png` });
        await expectAccessible(page, "the people");
      }
      page.expectClean();
    });
  }
}
