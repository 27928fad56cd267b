// Every view in both themes and two sizes: a picture in target/web/, and no serious finding of axe-core.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { after, before, test } from "node:test";
import { LARGE, SMALL, back, connection, expectAccessible, expectOutage, launch, pick, saying, visitor, write } from "./harness/browser.js";
import { furnish } from "./harness/scene.js";
import { Server } from "./harness/server.js";

const FOLDER = new URL("../../target/web/", import.meta.url).pathname;
let [server, browser] = [];

before(async () => {
  await mkdir(FOLDER, { recursive: true });
  browser = await launch();
});

after(() => browser?.close());

for (const colorScheme of ["light", "dark"]) {
  for (const viewport of [LARGE, SMALL]) {
    test(`${colorScheme}, ${viewport.width} pixels`, async (t) => {
      server = await Server.start();
      t.after(() => server.stop());
      const world = await furnish(server);
      // The small window has a touch screen and no mouse.
      const touch = viewport === SMALL;
      const page = await visitor(browser, server.url, { colorScheme, viewport, hasTouch: touch, isMobile: touch });
      await tour(page, world, `${viewport.width}-${colorScheme}`, touch);
      page.expectClean();
      await page.context().close();
    });
  }
}

async function tour(page, { users, chats }, name, small) {
  const look = async (view) => {
    await page.screenshot({ path: `${FOLDER}${view}-${name}.png` });
    await expectAccessible(page, `${view}, ${name}`);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= page.viewportSize().width, `${view}, ${name}: nothing is wider than the window`);
  };
  const close = () => page.keyboard.press("Escape");
  const chat = (title) => page.locator(".chats a", { hasText: title });
  const away = () => small && page.getByRole("button", { name: "All chats" }).click();

  await page.getByRole("button", { name: "Ada" }).waitFor();
  await look("welcome");
  await pick(page, "Ada");
  await page.locator(".connected", { hasText: "Connected" }).waitFor();
  if (small) await look("list");
  if (small) await chat("Rehearsal").click();
  await saying(page, "See you there.").waitFor();
  await page.getByText("5 people, 1 online").waitFor();
  await server.say(chats.notes, users.Mira, "Could you read it before noon?");
  await server.say(chats.arabic, users["يوسف"], "شكرًا! 🙏");
  await page.mouse.move(1, 1);
  await look("chat");

  await page.locator("#composer").press("ArrowUp");
  await look("edit");
  await page.locator("#composer").press("Escape");
  await page.locator("#composer").press("Escape");
  await page.keyboard.press("ArrowUp");
  await look("focus");
  await page.keyboard.press("Delete");
  await look("delete");
  await close();
  await page.keyboard.press("Escape");
  await page.locator("#composer").press("Escape");
  await page.keyboard.press("?");
  await look("shortcuts");
  await close();
  await page.keyboard.press("Control+k");
  await look("switch");
  await close();
  if (small) await page.getByRole("button", { name: "People and settings" }).click();
  await page.getByRole("button", { name: "Add people" }).waitFor();
  if (small) await look("people");
  await page.getByRole("button", { name: "Add people" }).click();
  await page.getByText("Everybody is here already.").waitFor();
  await look("add");
  await close();
  if (small) await page.getByRole("button", { name: "Close people" }).click();
  await away();
  await page.getByRole("button", { name: "New chat" }).click();
  await page.getByRole("button", { name: "Create chat" }).click();
  await page.getByText("Please fill this in.").waitFor();
  await look("new");
  await close();
  await chat("Ideas").click();
  await page.getByText("Write the first one.").waitFor();
  await look("empty");
  await away();
  await chat("تنسيق").click();
  await saying(page, "شكرًا").waitFor();
  await look("right-to-left");
  await away();
  await chat("Rehearsal").click();
  await saying(page, "See you there.").waitFor();
  // The server refuses this character. A refused message can be retried or discarded.
  await page.locator("#composer").evaluate((area) => {
    area.value = "Sealed\u0000 letter";
    area.dispatchEvent(new Event("input"));
  });
  await page.locator("#composer").press("Enter");
  await saying(page, "letter").getByText("Not sent:").waitFor();
  expectOutage(page);
  await server.kill();
  await connection(page, "Connection lost.");
  await write(page, "Nobody hears this yet.");
  await saying(page, "Nobody hears").getByText("Sending…").waitFor();
  await look("lost");
  await saying(page, "letter").getByRole("button", { name: "Discard" }).click();
  await saying(page, "letter").waitFor({ state: "detached" });
  await back(server, page);
  await saying(page, "Nobody hears").getByText("Sent").waitFor();
  await look("again");
}
