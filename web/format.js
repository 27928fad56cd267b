// How times, names and counts are written. Everything follows the browser's language but the words,
// which are English as the rest of the page.

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat("en", { weekday: "long" });
const dayOfYear = new Intl.DateTimeFormat("en", { weekday: "long", day: "numeric", month: "long" });
const dayAndYear = new Intl.DateTimeFormat("en", { day: "numeric", month: "long", year: "numeric" });
const brief = new Intl.DateTimeFormat("en", { day: "numeric", month: "short" });
const full = new Intl.DateTimeFormat("en", { dateStyle: "full", timeStyle: "medium" });
const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/** The whole number of days between two moments, by the calendar. */
function daysBetween(earlier, later) {
  const start = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate());
  return Math.round((start(later) - start(earlier)) / 86_400_000);
}

/** 14:05 */
export const time = (iso) => clock.format(new Date(iso));

/** Monday, 23 November 2026 at 14:05:12, for tooltips. */
export const moment = (iso) => full.format(new Date(iso));

/** The heading between the messages of two days. */
export function day(iso, now = new Date()) {
  const date = new Date(iso);
  const days = daysBetween(date, now);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  return date.getFullYear() === now.getFullYear() ? dayOfYear.format(date) : dayAndYear.format(date);
}

/** A day within a sentence: "today", "on Monday, 23 November". */
export function since(iso) {
  const words = day(iso);
  return /day$/u.test(words) ? words.toLowerCase() : `on ${words}`;
}

/** Two moments on the same day of the calendar? */
export const sameDay = (a, b) => daysBetween(new Date(a), new Date(b)) === 0;

/** As short as a list needs it: 14:05, Monday, 3 Nov. */
export function short(iso, now = new Date()) {
  const date = new Date(iso);
  const days = daysBetween(date, now);
  if (days === 0) return clock.format(date);
  if (days === 1) return "Yesterday";
  return days > 1 && days < 7 ? weekday.format(date) : brief.format(date);
}

/** The first character of a name in upper case; "?" for an empty name. */
export function initial(name) {
  for (const { segment } of graphemes.segment(name.trim())) return segment.toLocaleUpperCase();
  return "?";
}

/** A hue for an id: neighbours lie far apart. */
export const hue = (id) => Math.round((Number(id) * 137.508 + 20) % 360);

/** "1 person", "2 people" */
export const count = (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

/** The text of a badge. */
export const badge = (n) => (n > 99 ? "99+" : String(n));

/** "Ada", "Ada and Bo", "Ada, Bo and 2 others" */
export function names(list, most = 2) {
  if (list.length <= 1) return list[0] ?? "";
  if (list.length <= most) return `${list.slice(0, -1).join(", ")} and ${list.at(-1)}`;
  const others = list.length - most;
  return `${list.slice(0, most).join(", ")} and ${others} ${others === 1 ? "other" : "others"}`;
}

/** A text of several lines as one line. */
export const oneLine = (content) => content.replace(/\s+/gu, " ").trim();
