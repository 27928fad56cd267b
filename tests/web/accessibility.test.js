// Use by keyboard only, in small windows, with reduced motion, with text of every kind, and with failed
// messages.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { LARGE, SMALL, back, connection, expectAccessible, expectOutage, launch, pick, saying, visitor, write } from "./harness/browser.js";
import { furnish } from "./harness/scene.js";
import { Server } from "./harness/server.js";

let [server, browser, world] = [];

before(async () => {
  browser = await launch();
});

beforeEach(async () => {
  server = await Server.start();
  world = await furnish(server);
});

afterEach(() => server.stop());

after(() => browser?.close());

/** Opens the page. */
async function visit(t, options) {
  const page = await visitor(browser, server.url, options);
  t.after(() => page.context().close());
  return page;
}

/** Opens the page as Ada, and this chat in it. */
async function ada(t, title, options) {
  const page = await visit(t, options);
  await pick(page, "Ada");
  await page.locator(".chats a", { hasText: title }).click();
  await page.getByText(/ people?, \d online| person, \d online/u).waitFor();
  return page;
}

const focused = (page, selector) => page.waitForFunction((wanted) => document.activeElement?.matches(wanted), selector);

test("the keyboard is enough", async (t) => {
  const page = await visit(t);
  const press = (...keys) => keys.reduce((before, key) => before.then(() => page.keyboard.press(key)), Promise.resolve());
  await page.getByRole("button", { name: "Ada", exact: true }).waitFor();
  await focused(page, "h1");
  await press("Tab", "Enter");
  await saying(page, "See you there.").waitFor();
  await focused(page, "#composer");

  // Moves the focus from the text field to the messages, through them, and back.
  await page.keyboard.type("By keys alone.");
  await press("Enter");
  await saying(page, "By keys alone.").getByText("Sent").waitFor();
  await press("Escape");
  await focused(page, ".scroller");
  await press("ArrowUp", "e");
  await page.getByText("Editing a message").waitFor();
  await page.keyboard.type(" Really.");
  await press("Enter");
  await saying(page, "By keys alone. Really.").locator(".edited").waitFor();
  await press("Escape", "ArrowUp", "ArrowUp", "ArrowDown", "Delete");
  await page.getByRole("dialog", { name: "Delete this message?" }).waitFor();
  await press("Enter");
  await saying(page, "By keys alone.").waitFor({ state: "detached" });

  // A dialog gives the focus back; the people do as well.
  await press("i");
  await focused(page, "#composer");
  await press("Control+k");
  await page.keyboard.type("ide");
  await press("Enter");
  await page.getByText("Write the first one.").waitFor();
  await press("Alt+ArrowUp", "Escape", "?");
  await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
  await press("Escape");
  await focused(page, ".scroller");
  await page.getByRole("button", { name: "Add people" }).focus();
  await press("Escape");
  await focused(page, "[aria-controls=people]");
  await page.getByRole("button", { name: "Add people" }).waitFor({ state: "hidden" });
  await press("Enter", "t", "n");
  await page.getByRole("dialog", { name: "New chat" }).waitFor();
  await page.keyboard.type("By keys");
  await press("Enter");
  await page.getByRole("heading", { name: "By keys" }).first().waitFor();
  assert.equal(await page.locator("html").getAttribute("data-theme"), "dark");
  await page.reload();
  await page.getByRole("heading", { name: "By keys" }).first().waitFor();
  assert.equal(await page.locator("html").getAttribute("data-theme"), "dark", "a reload keeps it");
  page.expectClean();
});

test("who clicks and types, writes", async (t) => {
  const page = await ada(t, "Rehearsal");
  await saying(page, "See you there.").click();
  await page.keyboard.type("then?");
  assert.equal(await page.locator("#composer").inputValue(), "then?");
  await page.keyboard.press("Escape");
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
  assert.equal(await page.locator("html").getAttribute("data-theme"), null);
  page.expectClean();
});

// A window of 1280 pixels has 320 CSS pixels at a zoom of 400 %.
for (const [name, viewport] of Object.entries({ "320 pixels": { width: 320, height: 640 }, "200 %": { width: 640, height: 400 } })) {
  test(`nothing is out of reach at ${name}`, async (t) => {
    const long = await server.chat("Wherever the name of a chat would end, this one goes on ".repeat(3).trim(), world.users.Ada);
    await server.say(long, world.users.Mira, "x".repeat(1000));
    const page = await ada(t, "Wherever", { viewport });
    await saying(page, "xxx").waitFor();
    const fits = async (where) => {
      await expectAccessible(page, where);
      const wide = await page.evaluate(() => [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.outerHTML.slice(0, 200)));
      assert.deepEqual(wide, [], `${where} at ${name}`);
      const { scrollWidth, clientWidth } = await page.locator(".scroller").evaluate((one) => one);
      assert.equal(scrollWidth, clientWidth);
    };
    await fits("the chat");
    await page.getByRole("button", { name: "People and settings" }).click();
    await page.getByRole("button", { name: "Rename chat" }).click();
    await fits("a dialog");
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Close people" }).click();
    await page.getByRole("button", { name: "All chats" }).click();
    await page.getByRole("button", { name: "Keyboard shortcuts" }).click();
    await page.getByText("Single letters work").scrollIntoViewIfNeeded();
    page.expectClean();
  });
}

test("text of every kind is shown as it was written", async (t) => {
  const page = await ada(t, "Ideas");
  const code = "    if (a < b) {\n\treturn `<i>&amp;</i>`;\n    }";
  await write(page, `\n\n${code}\n \n`);
  await saying(page, "return").getByText("Sent").waitFor();
  assert.equal(await saying(page, "return").locator(".said").textContent(), code);
  assert.equal(await saying(page, "return").locator(".said").evaluate((said) => getComputedStyle(said).whiteSpaceCollapse), "preserve");

  await write(page, "(https://example.com/a_(b)?c=d#e), http://localhost:1/. javascript:alert(1) https://");
  await saying(page, "javascript").getByText("Sent").waitFor();
  const links = saying(page, "javascript").getByRole("link");
  assert.deepEqual(await links.evaluateAll((all) => all.map((link) => link.getAttribute("href"))), ["https://example.com/a_(b)?c=d#e", "http://localhost:1/"]);
  for (const rel of await links.evaluateAll((all) => all.map((link) => link.rel))) assert.equal(rel, "noopener noreferrer");

  await write(page, "👩‍👩‍👧‍👦🇺🇳");
  await page.locator(".said.large").waitFor();
  await write(page, "שלום, Ada 👋");
  // After its confirmation the row does not change.
  await saying(page, "שלום").getByText("Sent").waitFor();
  const hebrew = saying(page, "שלום").locator(".said");
  assert.equal(await hebrew.evaluate((said) => getComputedStyle(said).direction), "rtl");
  const edge = async (one) => (await one.boundingBox()).x;
  assert.equal(await edge(hebrew), await edge(page.locator(".said.large")), "it stands under its author");
  page.expectClean();
});

test("the box for writing grows with its text, and shrinks again", async (t) => {
  const page = await ada(t, "Donaudampf");
  const area = page.locator("#composer");
  const height = async () => (await area.boundingBox()).height;
  const one = await height();
  await area.fill("one\ntwo\nthree");
  assert.ok((await height()) > 1.8 * one);
  await page.locator(".chats a", { hasText: "Ideas" }).click();
  await page.getByText("Write the first one.").waitFor();
  assert.equal(await height(), one);
  await page.locator(".chats a", { hasText: "Donaudampf" }).click();
  await page.waitForFunction(() => document.getElementById("composer").value === "one\ntwo\nthree");
  await area.fill("ß".repeat(8192));
  await page.getByText("0 bytes left").waitFor();
  await area.fill("ß".repeat(8193));
  assert.equal(await page.getByRole("button", { name: "Send" }).isDisabled(), true);
  page.expectClean();
});

test("nothing moves where one wants calm", async (t) => {
  // The click and the query run in one call, because the animation ends soon.
  const moving = (page) => page.getByRole("button", { name: "New chat" }).evaluate((button) => {
    button.click();
    return document.getAnimations().length;
  });
  const calm = await ada(t, "Rehearsal", { reducedMotion: "reduce" });
  assert.equal(await moving(calm), 0);
  const lively = await visit(t, { reducedMotion: "no-preference" });
  await pick(lively, "Ada");
  assert.ok((await moving(lively)) > 0);
});

test("a finger hits what it sees", async (t) => {
  const page = await ada(t, "Rehearsal", { viewport: SMALL, hasTouch: true, isMobile: true });
  const [mine, tools] = [saying(page, "See you there."), saying(page, "See you there.").locator(".tools")];
  await mine.waitFor();
  const { x, y, width, height } = await tools.boundingBox();
  const hit = () => page.evaluate(([left, top]) => document.elementFromPoint(left, top).closest(".tools") !== null, [x + width / 2, y + height / 2]);
  assert.equal(await hit(), false, "what is not shown is not hit");
  await mine.tap();
  assert.equal(await hit(), true);
  for (const name of ["Edit", "Delete"]) {
    const size = await mine.getByRole("button", { name }).boundingBox();
    assert.ok(size.width >= 40 && size.height >= 40, name);
  }
  await mine.getByRole("button", { name: "Edit" }).tap();
  await page.getByText("Editing a message").waitFor();
  // A phone zooms into a text field with a smaller font.
  assert.equal(await page.locator("#composer").evaluate((area) => getComputedStyle(area).fontSize), "16px");
  page.expectClean();
});

test("what failed is still there after a reload, and can be sent again or given up", async (t) => {
  const page = await ada(t, "Rehearsal", { viewport: LARGE });
  await page.locator("#composer").evaluate((area) => {
    area.value = "Sealed\u0000 letter";
    area.dispatchEvent(new Event("input"));
  });
  await page.locator("#composer").press("Enter");
  const failed = saying(page, "letter");
  await failed.getByText("Not sent:").waitFor();
  await page.reload();
  await failed.getByText("Not sent:").waitFor();
  await failed.getByRole("button", { name: "Retry" }).click();
  await failed.getByText("Not sent:").waitFor();
  await failed.getByRole("button", { name: "Discard" }).click();
  await failed.waitFor({ state: "detached" });
  await page.reload();
  await saying(page, "See you there.").waitFor();
  assert.equal(await failed.count(), 0);
  page.expectClean();
});

test("more than can wait is said to fail, and is sent when one asks again", async (t) => {
  const page = await ada(t, "Ideas");
  expectOutage(page);
  await server.kill();
  await connection(page, "Connection lost.");
  const texts = Array.from({ length: 101 }, (_, n) => `waiting ${n + 1}.`);
  for (const text of texts) await write(page, text);
  const last = saying(page, texts.at(-1));
  await last.getByText("Not sent:").waitFor();
  await back(server, page);
  await saying(page, texts.at(-2)).getByText("Sending…").waitFor({ state: "detached" });
  await last.getByRole("button", { name: "Retry" }).click();
  await last.getByText("Sent", { exact: true }).waitFor();
  const [{ chatId }] = (await server.ask("GET", "/chat")).filter((chat) => chat.chatName === "Ideas");
  assert.deepEqual((await server.messages(chatId)).map((one) => one.content), texts);
  page.expectClean();
});
