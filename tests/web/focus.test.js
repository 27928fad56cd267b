// Focus and reading position: after a dialog, at the first unread message, in a deleted chat, on the way
// back, after a paste. Also the reference at /docs.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { SMALL, launch, pick, saying, visitor } from "./harness/browser.js";
import { Server } from "./harness/server.js";

let [server, browser, users] = [];

before(async () => {
  browser = await launch();
});

beforeEach(async () => {
  server = await Server.start();
  users = { ada: await server.user("Ada"), bo: await server.user("Bo") };
});

afterEach(() => server.stop());

after(() => browser?.close());

/** Opens the page as Ada. */
async function ada(t, options) {
  const page = await visitor(browser, server.url, options);
  t.after(() => page.context().close());
  await pick(page, "Ada");
  return page;
}

const row = (page, name) => page.locator(".chats a", { hasText: name });
const value = (page) => page.locator("#composer").inputValue();

/** Returns the unread count and the read position of Ada's only chat, as the server has them. */
async function standing() {
  const [chat] = await server.ask("GET", `/user/${users.ada.customerId}/chat`);
  return { unread: chat.unread, read: chat.lastReadMessageId };
}

test("after every dialog the keys go where the focus is", async (t) => {
  await server.chat("One", users.ada);
  await server.chat("Two", users.ada);
  const page = await ada(t);
  await row(page, "One").click();
  const typed = async (text) => {
    await page.keyboard.type(text);
    assert.equal(await value(page), text);
    await page.locator("#composer").fill("");
  };
  await page.locator("#composer").click();
  await typed("before");

  await page.keyboard.press("Control+k");
  await page.keyboard.type("tw");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Two" }).first().waitFor();
  await page.waitForFunction(() => document.activeElement.id === "composer");
  await typed("after Enter");

  await page.keyboard.press("Control+k");
  await page.keyboard.type("on");
  await page.keyboard.press("Escape");
  await page.locator("dialog").waitFor({ state: "detached" });
  await typed("after Escape");

  await page.keyboard.press("Control+k");
  await page.keyboard.type("x");
  await page.getByRole("button", { name: "Close", exact: true }).click();
  await page.locator("dialog").waitFor({ state: "detached" });
  await typed("after the cross");

  await page.keyboard.press("Escape");
  await page.keyboard.press("n");
  await page.keyboard.type("Three");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Three" }).first().waitFor();
  await page.locator("dialog").waitFor({ state: "detached" });
  await page.waitForFunction(() => document.activeElement.id === "composer");
  await typed("after a new chat");
  page.expectClean();
});

for (const many of [30, 130]) {
  test(`a chat with ${many} unread messages is opened at the first, and marked as far as one has seen`, async (t) => {
    const chat = await server.chat("Long", users.ada, users.bo);
    const sent = [];
    for (let n = 1; n <= many; n += 1) sent.push(await server.say(chat, users.bo, `number ${n}\n\n\n.`));
    const page = await ada(t);
    const first = saying(page, /^number 1\s/u);
    await first.waitFor();
    await page.waitForFunction(() => {
      const [line, view] = [document.querySelector(".divider"), document.querySelector(".scroller")];
      return line && Math.abs(line.getBoundingClientRect().top - view.getBoundingClientRect().top) < 100;
    });
    // The page marks only the messages in view as read.
    let now = await standing();
    while (now.read === null) now = await standing();
    const seen = sent.findIndex((one) => one.messageId === now.read);
    assert.ok(seen >= 0 && seen < 12, `marked up to number ${seen + 1}`);
    assert.equal(now.unread, many - seen - 1);
    const left = await row(page, "Long").locator(".badge").textContent();
    assert.equal(left, String(now.unread > 99 ? "99+" : now.unread));

    await page.getByRole("button", { name: /new messages|Latest/u }).click();
    await saying(page, `number ${many}`).last().waitFor();
    await row(page, "Long").locator(".badge").waitFor({ state: "hidden" });
    while ((await standing()).unread > 0);
    assert.equal((await standing()).read, sent.at(-1).messageId);
    page.expectClean();
  });
}

test("a chat without unread messages is opened at its end", async (t) => {
  const chat = await server.chat("Long", users.ada, users.bo);
  for (let n = 1; n <= 60; n += 1) await server.say(chat, users.bo, `number ${n}`);
  const last = await server.say(chat, users.ada, "I have read all of it.");
  const page = await ada(t);
  await saying(page, "I have read all of it.").waitFor();
  await page.waitForFunction(() => {
    const view = document.querySelector(".scroller");
    return view.scrollHeight - view.clientHeight - view.scrollTop < 2;
  });
  assert.equal((await standing()).read, last.messageId);
  page.expectClean();
});

test("without a chat there is no talk of a connection", async (t) => {
  const chat = await server.chat("The only one", users.ada, users.bo);
  const page = await ada(t);
  await page.getByRole("heading", { name: "The only one" }).first().waitFor();
  await page.locator(".connected", { hasText: "Connected" }).waitFor();
  await server.ask("DELETE", `/chat/${chat.chatId}`);
  await page.getByRole("heading", { name: "Nothing here yet" }).waitFor();
  await page.locator(".connected", { hasText: "Ready" }).waitFor();
  await page.locator(".connection").waitFor({ state: "hidden" });
  page.expectClean();
});

test("a chat that another takes away does not go without a word", async (t) => {
  const [gone, closed, own] = [await server.chat("Gone", users.ada, users.bo), await server.chat("Closed", users.ada, users.bo), await server.chat("My own", users.ada)];
  const page = await ada(t);
  const toast = page.locator(".toast");
  await row(page, "Gone").click();
  await page.getByRole("heading", { name: "Gone" }).first().waitFor();
  await page.getByText("2 people, 1 online").waitFor();
  await server.ask("DELETE", `/chat/${gone.chatId}`);
  await toast.filter({ hasText: "This chat was deleted: Gone" }).waitFor();
  await server.ask("DELETE", `/chat/${closed.chatId}/user/${users.ada.customerId}`);
  await toast.filter({ hasText: "You are no longer a member of Closed" }).waitFor();
  await toast.waitFor({ state: "detached" });

  // The page shows no notice about the user's own deletion.
  await row(page, "My own").click();
  await page.getByRole("button", { name: "Delete chat" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete chat" }).click();
  await row(page, "My own").waitFor({ state: "detached" });
  await page.locator("dialog").waitFor({ state: "detached" });
  assert.equal(await toast.count(), 0);
  assert.ok(own);
  page.expectClean();
});

test("back is back: by the page's arrow and by the phone's button", async (t) => {
  await server.chat("One", users.ada);
  await server.chat("Two", users.ada);
  const page = await ada(t, { viewport: SMALL, hasTouch: true, isMobile: true });
  const shown = (name) => page.getByRole("heading", { name, exact: true, level: 1 }).first().waitFor();
  const list = () => page.waitForFunction(() => !document.querySelector(".shell").classList.contains("in-chat"));
  await row(page, "One").tap();
  await shown("One");
  await page.getByRole("button", { name: "All chats" }).tap();
  await list();
  await row(page, "Two").tap();
  await shown("Two");
  await page.getByRole("button", { name: "All chats" }).tap();
  await list();
  // The phone's button leaves the page now, instead of opening the chat again.
  await page.goBack();
  assert.equal(page.url(), "about:blank");

  // A chat that was opened by its address leads back to the list too.
  await page.goto(`${server.url}/#/chat/1`);
  await shown("One");
  await page.getByRole("button", { name: "All chats" }).tap();
  await list();
  assert.ok(page.url().endsWith("#/"));
});

test("a pasted or dropped file is refused with a word, and text is taken", async (t) => {
  await server.chat("One", users.ada);
  const page = await ada(t);
  await page.locator("#composer").click();
  const hand = (type, text) => page.locator("#composer").evaluate((area, [kind, words]) => {
    const data = new DataTransfer();
    data.items.add(new File(["x"], "picture.png", { type: "image/png" }));
    if (words) data.setData("text/plain", words);
    const init = { bubbles: true, cancelable: true };
    const event = kind === "paste" ? new ClipboardEvent(kind, { ...init, clipboardData: data }) : new DragEvent(kind, { ...init, dataTransfer: data });
    return area.dispatchEvent(event);
  }, [type, text]);
  for (const type of ["paste", "drop"]) {
    assert.equal(await hand(type), false, `${type} is not left to the browser`);
    await page.locator(".toast", { hasText: "Only text can be sent here" }).waitFor();
    await page.locator(".toast").evaluate((toast) => toast.remove());
  }
  assert.equal(await hand("paste", "with words"), true);
  assert.equal(await page.locator(".toast").count(), 0);
  page.expectClean();
});

test("what /docs fills in by itself can be executed", async (t) => {
  const chat = await server.chat("One", users.ada);
  await server.say(chat, users.ada, "Hello.");
  const page = await visitor(browser, `${server.url}/docs`);
  t.after(() => page.context().close());
  const execute = async (operation, fill = {}) => {
    const block = page.locator(`[id$="-${operation}"]`);
    await block.locator(".opblock-summary-control").click();
    for (const [name, text] of Object.entries(fill)) await block.locator(`tr[data-param-name="${name}"] input`).fill(text);
    const answered = page.waitForResponse((response) => response.url().startsWith(server.url) && response.request().resourceType() === "fetch");
    await block.getByRole("button", { name: "Execute" }).click();
    const answer = await answered;
    return { status: answer.status(), url: new URL(answer.url()), rows: await answer.json() };
  };
  const messages = await execute("listMessages", { chat_id: String(chat.chatId) });
  assert.equal(messages.status, 200, messages.url);
  assert.deepEqual([...messages.url.searchParams.keys()].filter((key) => key !== "limit"), []);
  assert.equal(messages.rows.length, 1);
  const all = await execute("listUsers");
  assert.equal(all.url.searchParams.get("after"), null);
  assert.deepEqual(all.rows.map((one) => one.username), ["Ada", "Bo"]);
});
