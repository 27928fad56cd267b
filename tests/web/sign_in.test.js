// Required mode: sign-up, login, logout, a session that ends, and permissions.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { after, before, test } from "node:test";
import { connection, expectAccessible, expectOutage, launch, saying, visitor, write } from "./harness/browser.js";
import { Server } from "./harness/server.js";

const FOLDER = new URL("../../target/web/", import.meta.url).pathname;
const PASSWORD = "correct horse battery staple";
/** What Chromium writes where the server refuses, as it should. */
const REFUSED = /status of (400|401|409)/u;

let [server, browser, ada, bo] = [];

before(async () => {
  await mkdir(FOLDER, { recursive: true });
  [server, browser] = await Promise.all([Server.start({ AUTH: "required" }), launch()]);
  [ada, bo] = await Promise.all([visitor(browser, server.url), visitor(browser, server.url, { colorScheme: "dark" })]);
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

async function enter(page, button, name, password = PASSWORD) {
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: button, exact: true }).click();
}

const inside = (page) => page.getByRole("navigation", { name: "Chats" }).waitFor();
const row = (page, name) => page.locator(".chats a", { hasText: name });

test("a password from before everyone signed in is changed at the log-in", async () => {
  const moved = await Server.start({ AUTH: "open" });
  try {
    await moved.ask("POST", "/user", { username: "Cleo", password: "short" });
    await moved.kill();
    moved.settings.AUTH = "required";
    await moved.resume();
    const cleo = await visitor(browser, moved.url);
    cleo.tolerated.push(/status of (400|403)/u);
    await enter(cleo, "Log in", "Cleo", "short");
    await cleo.getByText("too short or too easy to guess. Choose a new one.").waitFor();
    await expectAccessible(cleo, "change a password");
    const renewed = cleo.getByLabel("New password");
    await renewed.fill("12345678");
    await cleo.getByRole("button", { name: "Log in", exact: true }).click();
    await cleo.locator(".problem", { hasText: "harder to guess" }).waitFor();
    await renewed.fill(PASSWORD);
    await cleo.getByRole("button", { name: "Log in", exact: true }).click();
    await inside(cleo);
    cleo.expectClean();
    await cleo.context().close();
    await moved.ask("POST", "/login", { username: "Cleo", password: PASSWORD });
  } finally {
    await moved.stop();
  }
});

test("required mode", async () => {
  // Before one is in, one is asked; a wrong password is said, not explained.
  for (const page of [ada, bo]) await expectAccessible(page, "log in");
  await ada.screenshot({ path: `${FOLDER}login-1280-light.png` });
  await bo.screenshot({ path: `${FOLDER}login-1280-dark.png` });
  for (const page of [ada, bo]) page.tolerated.push(REFUSED);
  await enter(ada, "Log in", "Ada");
  await ada.locator(".problem", { hasText: /\S/u }).waitFor();
  await ada.getByRole("button", { name: "Create an account" }).click();
  await expectAccessible(ada, "sign up");
  await ada.screenshot({ path: `${FOLDER}signup-1280-light.png` });
  await enter(ada, "Create account", "Ada", "short");
  await ada.getByText("Password must be at least 8 bytes long.").waitFor();
  await enter(ada, "Create account", "Ada");
  await inside(ada);
  await bo.getByRole("button", { name: "Create an account" }).click();
  await enter(bo, "Create account", "Ada");
  await bo.locator(".problem", { hasText: /Ada/u }).waitFor();
  await enter(bo, "Create account", "Bo");
  await inside(bo);

  // Without a chat there is nothing to connect to, and nothing to wait for.
  await ada.locator(".connected", { hasText: "Ready" }).waitFor();
  await expectAccessible(ada, "no chats");
  await ada.screenshot({ path: `${FOLDER}first-1280-light.png` });

  // Who makes a chat runs it; a member does not.
  await ada.getByRole("button", { name: "Begin a chat" }).click();
  await ada.getByRole("dialog").getByLabel("Name").fill("Private");
  await ada.getByRole("button", { name: "Create chat" }).click();
  await ada.getByRole("button", { name: "Add people" }).click();
  await ada.getByRole("combobox").fill("Bo");
  await ada.getByRole("combobox").press("Enter");
  await row(bo, "Private").click();
  await bo.getByText("2 people, 2 online").waitFor();
  await bo.getByRole("button", { name: "Leave chat" }).waitFor();
  for (const name of ["Rename chat", "Delete chat", "Add people"]) {
    assert.equal(await ada.getByRole("button", { name }).count(), 1, name);
    assert.equal(await bo.getByRole("button", { name }).count(), 0, name);
  }

  // The story, with the server killed in the middle: the sessions last.
  await write(bo, "before");
  await saying(ada, "before").waitFor();
  expectOutage(ada, bo);
  await server.kill();
  await connection(ada, "Connection lost.");
  await write(ada, "during");
  await saying(ada, "during").getByText("Sending…").waitFor();
  await server.resume();
  await saying(bo, "during").waitFor();
  await saying(ada, "during").getByText("Read by Bo").waitFor();
  assert.equal(await saying(bo, "during").count(), 1);

  // A reload keeps the session; another tab has none; the address holds no token.
  await ada.reload();
  await saying(ada, "during").waitFor();
  assert.doesNotMatch(ada.url(), /token/u);
  const tab = await ada.context().newPage();
  await tab.goto(server.url);
  await tab.getByRole("heading", { name: "Log in" }).waitFor();
  await tab.close();

  // A session that ends elsewhere ends here, and the page says so.
  const token = await ada.evaluate(() => JSON.parse(sessionStorage.getItem("who")).token);
  await server.ask("POST", "/logout", undefined, token);
  await ada.getByText("Your session has ended. Log in again.").waitFor();
  await enter(ada, "Log in", "Ada");
  await saying(ada, "during").waitFor();

  await bo.getByRole("button", { name: "Log out" }).click();
  await bo.getByRole("heading", { name: "Log in" }).waitFor();
  await bo.getByRole("button", { name: "Create an account" }).click();
  await enter(bo, "Create account", "Cy");
  await bo.locator(".connected", { hasText: "Ready" }).waitFor();
  await bo.getByRole("button", { name: "Log out" }).click();
  await bo.getByRole("heading", { name: "Log in" }).waitFor();
  assert.equal(await bo.evaluate(() => sessionStorage.getItem("who")), null);
  await ada.getByText("2 people, 1 online").waitFor();
  for (const page of [ada, bo]) page.expectClean();
});
