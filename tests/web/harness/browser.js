// Debian's Chromium, and users of the page in it. Errors in the console and breaches of the page's
// content security policy are recorded and make the test fail.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const require = createRequire(import.meta.url);
const axe = await readFile(require.resolve("axe-core/axe.min.js"), "utf8");

/** The longest wait for anything to appear, in milliseconds. */
const PATIENCE_MS = 30_000;
/** Console errors of Chromium about lost connections. A test that causes them calls `expectOutage`. */
const OUTAGE = /WebSocket connection to .* failed|net::ERR_CONNECTION_REFUSED|net::ERR_CONNECTION_RESET|net::ERR_EMPTY_RESPONSE/u;

export const LARGE = { width: 1280, height: 800 };
export const SMALL = { width: 390, height: 844 };

export function launch() {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  // As root (in containers) Chromium has no sandbox.
  return chromium.launch({ executablePath, args: process.getuid() === 0 ? ["--no-sandbox"] : [] });
}

/** A new browser profile with the page open at `url`; `options` as of Playwright's newContext. */
export async function visitor(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: LARGE, locale: "en-GB", timezoneId: "Europe/Berlin", reducedMotion: "reduce", ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  const problems = [];
  page.tolerated = [];
  page.on("pageerror", (error) => problems.push(error.stack));
  page.on("console", (message) => {
    if (message.type() !== "error" && message.type() !== "warning") return;
    problems.push(`${message.type()}: ${message.text()} (${message.location().url})`);
  });
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== new URL(url).origin) problems.push(`elsewhere: ${request.url()}`);
  });
  await context.exposeBinding("breached", (_, what) => problems.push(`policy: ${what}`));
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => window.breached(`${event.violatedDirective} ${event.blockedURI}`));
  });
  page.expectClean = () => {
    const left = problems.filter((problem) => !page.tolerated.some((pattern) => pattern.test(problem)));
    assert.deepEqual(left, [], "what the page should not have done");
  };
  await page.goto(url);
  return page;
}

/** Tolerates errors about lost connections from now on. */
export const expectOutage = (...pages) => pages.forEach((page) => page.tolerated.push(OUTAGE));

/** Open mode: becomes a new user. */
export async function introduce(page, name) {
  await page.getByLabel("Your name").fill(name);
  await page.getByRole("button", { name: "Start chatting" }).click();
  await page.getByRole("navigation", { name: "Chats" }).waitFor();
}

/** Open mode: becomes an existing user. */
export async function pick(page, name) {
  await page.getByRole("button", { name, exact: true }).click();
  await page.getByRole("navigation", { name: "Chats" }).waitFor();
}

/** Writes and sends a message, without waiting for its confirmation. */
export async function write(page, text) {
  await page.locator("#composer").fill(text);
  await page.locator("#composer").press("Enter");
}

/** The message rows that contain this text. */
export const saying = (page, text) => page.locator(".message", { has: page.locator(".said", { hasText: text }) });

/** The texts of all message rows, in order, without the mark of an edit. */
export const spoken = (page) => page.locator(".message .said").evaluateAll((all) => all.map((one) => one.firstChild.textContent));

/** Waits until the page shows these words about its connection. */
export const connection = (page, words) => page.locator(".connection", { hasText: words }).waitFor();

/** Starts the server again. Waits until every page shows that it is connected; this notice is short, so the wait begins before. */
export async function back(server, ...pages) {
  const told = pages.map((page) => connection(page, "Connected again. Nothing was lost."));
  await Promise.all([server.resume(), ...told]);
}

/** Runs axe-core on the page. A serious or critical finding fails the test. */
export async function expectAccessible(page, where) {
  // Playwright injects axe-core through the debugging protocol, which the page's policy does not block.
  await page.evaluate(axe);
  const { violations, passes } = await page.evaluate(() => window.axe.run(document));
  assert.ok(passes.length > 10, "axe-core has looked at something");
  const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  const told = grave.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html} ${node.failureSummary}`).join("\n")}`);
  assert.deepEqual(told, [], `axe-core at ${where}`);
}
