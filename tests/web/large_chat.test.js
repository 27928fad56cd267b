// Ten thousand messages: the page stays small and quick, and every message can be reached.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, pick, saying, visitor } from "./harness/browser.js";
import { Server } from "./harness/server.js";

const MANY = 10_000;
/** Messages on their way to the server at once, while the chat is filled. */
const ABREAST = 500;
/** Most rows the page may hold. */
const MOST_ROWS = 200;
/** Limits, not figures: a machine that also builds and tests other things is slow. */
const SHOWN_MS = 10_000;
const FRAME_MS = 100;

let [server, browser, chat] = [];

before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
  const [ada, bo] = [await server.user("Ada"), await server.user("Bo")];
  chat = await server.chat("Everything", ada, bo);
  // A page of the server's own fills the chat, over a socket.
  const page = await visitor(browser, server.url);
  await page.evaluate(fill, { chatId: chat.chatId, customerId: bo.customerId, many: MANY, abreast: ABREAST });
  await page.context().close();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

test("ten thousand messages", async (t) => {
  const stored = await server.messages(chat.chatId);
  assert.equal(stored.length, MANY);
  const page = await visitor(browser, server.url);
  const begin = Date.now();
  await pick(page, "Ada");
  // The chat begins at its first unread message.
  await page.getByRole("button", { name: /new messages|Latest/u }).click();
  await saying(page, stored.at(-1).content.trim()).last().waitFor();
  const shown = Date.now() - begin;
  t.diagnostic(`from the click to the newest message: ${shown} ms`);
  assert.ok(shown < SHOWN_MS);

  // Up to the very first and down to the last, as fast as it goes; every row that was ever in the page is noted.
  const metrics = await page.context().newCDPSession(page);
  await metrics.send("Performance.enable");
  const busy = async () => {
    const { metrics: all } = await metrics.send("Performance.getMetrics");
    return Object.fromEntries(all.map(({ name, value }) => [name, value * 1000]));
  };
  for (const by of [-700, 1400]) {
    const before = await busy();
    const { seen, frames, most } = await page.evaluate(scrollThrough, by);
    const after = await busy();
    const each = (name) => ((after[name] - before[name]) / frames.length).toFixed(2);
    frames.sort((a, b) => a - b);
    const at = (share) => frames[Math.floor(frames.length * share)].toFixed(1);
    t.diagnostic(`${frames.length} frames of ${by} pixels: median ${at(0.5)} ms, 99 % within ${at(0.99)} ms, longest ${at(0.9999)} ms; of each frame ${each("ScriptDuration")} ms script, ${each("LayoutDuration")} ms layout; at most ${most} rows`);
    assert.equal(seen.length, MANY, "every message was in the page at some time");
    assert.ok(most <= MOST_ROWS, `${most} rows`);
    assert.ok(Number(at(0.5)) < FRAME_MS);
  }
  // And up again, as one reads what was.
  await page.locator(".scroller").evaluate((scroller) => (scroller.scrollTop -= 500));

  // What comes meanwhile does not move what one reads, and one click leads to it.
  const inSight = page.locator(`.message[data-id="${await page.evaluate(inTheMiddle)}"]`);
  const before = await inSight.boundingBox();
  await server.say(chat, { customerId: 2 }, "one more");
  await page.locator(".latest", { hasText: "1 new message" }).waitFor();
  // Rows end at halves of pixels, and scrolling does not.
  assert.ok(Math.abs((await inSight.boundingBox()).y - before.y) < 1);
  await page.getByRole("button", { name: "1 new message" }).click();
  await saying(page, "one more").waitFor();
  page.expectClean();
});

/** Sends messages, some at once; runs in the page. */
function fill({ chatId, customerId, many, abreast }) {
  const socket = new WebSocket("/ws");
  let sent = 0;
  const frame = (type, content) => socket.send(JSON.stringify({ type, content, id: type }));
  const next = () => sent < many && frame("send-message", { chatId, content: `message ${++sent}: ${"so it goes ".repeat(sent % 9)}` });
  return new Promise((resolve, reject) => {
    let stored = 0;
    socket.onopen = () => frame("connect-chat", { customerId, chatId });
    socket.onclose = reject;
    socket.onmessage = ({ data }) => {
      const { type, id } = JSON.parse(data);
      if (type === "error") reject(new Error(data));
      if (type !== "ack") return;
      if (id === "connect-chat") for (let n = 0; n < abreast; n += 1) next();
      else if ((stored += 1) === many) resolve();
      else next();
    };
  });
}

/** The message in the middle of the window; runs in the page. */
function inTheMiddle() {
  const { x, y, width, height } = document.querySelector(".scroller").getBoundingClientRect();
  return document.elementFromPoint(x + width / 2, y + height / 2).closest(".message").dataset.id;
}

/** Scrolls by so many pixels a frame until there is no more; runs in the page. */
async function scrollThrough(by) {
  const scroller = document.querySelector(".scroller");
  const [first, last] = [() => scroller.scrollTop <= 0 && document.querySelector(".beginning h2").textContent !== "",
    () => scroller.scrollTop + scroller.clientHeight >= scroller.scrollHeight - 1 && document.querySelector(".latest").hidden];
  const done = by < 0 ? first : last;
  const [seen, frames] = [new Set(), []];
  let most = 0;
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  let then = await frame();
  while (!done()) {
    scroller.scrollTop += by;
    const now = await frame();
    frames.push(now - then);
    then = now;
    const rows = document.querySelectorAll(".message");
    most = Math.max(most, rows.length);
    for (const row of rows) seen.add(row.dataset.id);
  }
  return { seen: [...seen], frames, most };
}
