// Two users, two browsers, and one server that is killed in the middle.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { back, connection, expectOutage, introduce, launch, saying, spoken, visitor, write } from "./harness/browser.js";
import { Server } from "./harness/server.js";

let [server, browser, ada, bo] = [];

before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
  [ada, bo] = await Promise.all([visitor(browser, server.url), visitor(browser, server.url)]);
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

let broken = false;

/** Runs a step of the test. The steps build on each other, so a failed step ends the test. */
function step(t, name, act) {
  return t.test(name, async () => {
    if (broken) throw new Error("a step before this one failed");
    broken = true;
    await act();
    broken = false;
  });
}

const row = (page, name) => page.locator(".chats a", { hasText: name });
const dialog = (page) => page.getByRole("dialog");

test("the whole story", async (t) => {
  await step(t, "two people come", async () => {
    await introduce(ada, "Ada");
    await ada.getByText("No chats yet").waitFor();
    await introduce(bo, "Bo");
  });

  await step(t, "a chat is made, and somebody added", async () => {
    await ada.getByRole("button", { name: "New chat" }).click();
    await dialog(ada).getByLabel("Name").fill("Rehearsal");
    await dialog(ada).getByRole("button", { name: "Create chat" }).click();
    await ada.getByRole("heading", { name: "Rehearsal" }).first().waitFor();
    await ada.getByText("No messages yet", { exact: true }).last().waitFor();
    await ada.getByRole("button", { name: "Add people" }).click();
    await dialog(ada).getByRole("combobox").fill("bo");
    await dialog(ada).getByRole("combobox").press("Enter");
    await ada.locator(".people li", { hasText: "Bo" }).waitFor();
    // The chat appears in Bo's list without an action of Bo.
    await row(bo, "Rehearsal").click();
    await bo.getByText("2 people, 2 online").waitFor();
    await ada.getByText("2 people, 2 online").waitFor();
    await ada.getByText("Bo is here").first().waitFor();
  });

  await step(t, "messages go both ways, with their state", async () => {
    // The notice is shown for a few seconds only, so the wait begins before.
    await Promise.all([ada.getByText("Bo is typing…").waitFor(), bo.locator("#composer").pressSequentially("Is the sco")]);
    await bo.locator("#composer").pressSequentially("re here?");
    await bo.locator("#composer").press("Enter");
    await saying(ada, "Is the score here?").waitFor();
    await ada.locator("#polite", { hasText: "Bo: Is the score here?" }).waitFor({ state: "attached" });
    await ada.getByText("Bo is typing…").waitFor({ state: "hidden" });
    await write(ada, "On the piano.");
    await saying(bo, "On the piano.").waitFor();
    await saying(ada, "On the piano.").getByText("Read by Bo").waitFor();
    assert.deepEqual(await spoken(ada), ["Is the score here?", "On the piano."]);
    assert.deepEqual(await spoken(bo), await spoken(ada));
  });

  await step(t, "what looks like HTML is text", async () => {
    const evil = `<img src=x onerror="document.title='owned'"><script>alert(1)</script><b>bold</b> &amp;`;
    await write(ada, evil);
    await saying(bo, evil).waitFor();
    assert.equal(await bo.locator(".message .said").last().textContent(), evil);
    assert.equal(await bo.locator(".said img, .said script, .said b").count(), 0);
    assert.match(await bo.title(), /Rehearsal/u);
  });

  await step(t, "arrow up edits the last one", async () => {
    await ada.locator("#composer").press("ArrowUp");
    await ada.getByText("Editing a message").waitFor();
    assert.match(await ada.locator("#composer").inputValue(), /onerror/u);
    await ada.locator("#composer").fill("On the piano, third page up.");
    await ada.locator("#composer").press("Enter");
    for (const page of [ada, bo]) await saying(page, "third page up.").locator(".edited").waitFor();
    await ada.locator("#composer").press("ArrowUp");
    await ada.locator("#composer").press("Escape");
    await ada.getByText("Editing a message").waitFor({ state: "hidden" });
    assert.equal(await ada.locator("#composer").inputValue(), "");
  });

  await step(t, "a deleted message leaves its tombstone", async () => {
    await ada.locator("#composer").press("Escape");
    await ada.keyboard.press("ArrowUp");
    await ada.keyboard.press("Delete");
    await dialog(ada).getByRole("button", { name: "Delete", exact: true }).click();
    for (const page of [ada, bo]) await page.getByText("This message was deleted").waitFor();
    assert.equal(await saying(bo, "third page up.").count(), 0);
  });

  await step(t, "unread messages are counted elsewhere", async () => {
    await bo.getByRole("button", { name: "New chat" }).click();
    await dialog(bo).getByLabel("Name").fill("Bo's notes");
    await dialog(bo).getByRole("button", { name: "Create chat" }).click();
    await bo.getByRole("heading", { name: "Bo's notes" }).first().waitFor();
    await write(ada, "Bo?");
    await write(ada, "Are you there?");
    await row(bo, "Rehearsal").getByLabel("2 unread messages").waitFor();
    await row(bo, "Ada: Are you there?").waitFor();
    await bo.waitForFunction(() => document.title.startsWith("(2)"));
    await row(bo, "Rehearsal").click();
    await bo.locator(".divider", { hasText: "New" }).waitFor();
    await row(bo, "Rehearsal").locator(".badge").waitFor({ state: "hidden" });
    await saying(ada, "Are you there?").getByText("Read by Bo").waitFor();
  });

  await step(t, "kill -9 in the middle: the page says so, nothing is lost, nothing doubled", async () => {
    const said = await spoken(ada);
    const burst = Array.from({ length: 30 }, (_, n) => `number ${n + 1} of Ada`);
    expectOutage(ada, bo);
    for (const [n, text] of burst.entries()) {
      if (n === 10) await server.kill();
      if (n === 12) await Promise.all([ada, bo].map((page) => connection(page, "Connection lost.")));
      await write(ada, text);
    }
    await write(bo, "Bo, without a server");
    await saying(bo, "without a server").getByText("Sending…").waitFor();
    await saying(ada, "number 30 of Ada").getByText("Sending…").waitFor();
    assert.deepEqual(await spoken(ada), [...said, ...burst], "what was written is shown at once");
    await bo.locator(".connected", { hasText: "Not connected" }).waitFor();

    await back(server, ada, bo);
    for (const page of [ada, bo]) {
      await page.getByText("Sending…").first().waitFor({ state: "hidden" });
      await saying(page, "number 30 of Ada").waitFor();
      await saying(page, "without a server").waitFor();
    }
    const [{ chatId }] = (await server.ask("GET", "/chat")).filter((chat) => chat.chatName === "Rehearsal");
    const stored = await server.messages(chatId);
    assert.deepEqual(stored.filter((one) => one.content?.endsWith("of Ada")).map((one) => one.content), burst);
    assert.equal(stored.filter((one) => one.content === "Bo, without a server").length, 1);
    const shown = stored.map((one) => one.content ?? "This message was deleted");
    assert.deepEqual(await spoken(ada), shown);
    assert.deepEqual(await spoken(bo), shown);
    await ada.locator(".connection").waitFor({ state: "hidden" });
  });

  await step(t, "unsent messages survive a reload", async () => {
    let blocked = true;
    await ada.routeWebSocket(/\/ws$/u, (socket) => (blocked ? socket.close() : socket.connectToServer()));
    await ada.reload();
    await saying(ada, "without a server").waitFor();
    await write(ada, "kept across a reload");
    await saying(ada, "kept across a reload").getByText("Sending…").waitFor();
    await ada.reload();
    await saying(ada, "kept across a reload").getByText("Sending…").waitFor();
    blocked = false;
    await ada.reload();
    await saying(bo, "kept across a reload").waitFor();
    await saying(ada, "kept across a reload").waitFor();
    assert.equal(await saying(ada, "kept across a reload").count(), 1);
  });

  await step(t, "a chat is renamed, for everyone", async () => {
    await ada.getByRole("button", { name: "Rename chat" }).click();
    await dialog(ada).getByLabel("Name").fill("General rehearsal");
    await dialog(ada).getByRole("button", { name: "Rename" }).click();
    await row(bo, "General rehearsal").waitFor();
  });

  await step(t, "who goes is seen to go", async () => {
    await bo.getByRole("button", { name: "Leave chat" }).click();
    await Promise.all([ada.locator(".passing", { hasText: "Bo has left" }).waitFor(), dialog(bo).getByRole("button", { name: "Leave" }).click()]);
    await bo.locator(".join", { hasText: "General rehearsal" }).click();
    await bo.getByRole("heading", { name: "General rehearsal" }).first().waitFor();
    await ada.getByText("2 people, 2 online").waitFor();
    await ada.locator(".people li", { hasText: "Bo" }).hover();
    await ada.getByRole("button", { name: "Remove Bo" }).click();
    await dialog(ada).getByRole("button", { name: "Remove" }).click();
    await bo.locator(".join", { hasText: "General rehearsal" }).waitFor();
    await bo.locator("#polite", { hasText: "You are no longer a member of General rehearsal" }).waitFor({ state: "attached" });
    await ada.getByText("1 person, 1 online").waitFor();
  });

  await step(t, "a chat is deleted, and one becomes somebody else", async () => {
    await ada.getByRole("button", { name: "Delete chat" }).click();
    await dialog(ada).getByRole("button", { name: "Delete chat" }).click();
    await row(ada, "General rehearsal").waitFor({ state: "detached" });
    await ada.getByRole("button", { name: "Be somebody else" }).click();
    await ada.getByRole("heading", { name: "Who are you?" }).waitFor();
    await ada.getByRole("button", { name: "Bo", exact: true }).click();
    await row(ada, "Bo's notes").waitFor();
  });

  await step(t, "and nothing untoward happened", () => {
    ada.expectClean();
    bo.expectClean();
  });
});
