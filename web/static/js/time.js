// Clocks that go on, and "3 min ago" that stays true. Same wording as the server's.

const [visit] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType("navigation"));
const made = Number(document.body.dataset.now);
// How far the server's clock is ahead of this machine's. All times that a page shows are the server's.
const ahead = made ? made - (performance.timeOrigin + (visit?.responseStart || performance.now())) : 0;

/** What the server's clock says, in milliseconds. */
export function serverNow() {
  return Date.now() + ahead;
}

/** @param {number} ms */
export function clock(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  return s >= 3600 ? `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}` : `${Math.floor(s / 60)}:${two(s % 60)}`;
}

/** @param {number} s seconds */
function ago(s) {
  if (s < 10) return "now";
  if (s < 60) return `${s}\u00a0s\u00a0ago`;
  if (s < 3600) return `${Math.floor(s / 60)}\u00a0min\u00a0ago`;
  if (s < 86400) return `${Math.floor(s / 3600)}\u00a0h\u00a0ago`;
  return "";
}

/** @param {Element} el @param {string} text */
function set(el, text) {
  if (text && el.textContent !== text) el.textContent = text;
}

export function tick() {
  if (document.hidden || "stale" in document.documentElement.dataset) return;
  const now = serverNow();
  for (const el of document.querySelectorAll("[data-since]")) set(el, clock(now - Number(el.getAttribute("data-since"))));
  // What is to open by itself after a while does so once; whoever closes it again has seen it.
  for (const el of document.querySelectorAll("details[data-open-at]")) {
    const at = Number(el.getAttribute("data-open-at"));
    if (!at || now < at) continue;
    el.setAttribute("open", "");
    el.removeAttribute("data-open-at");
  }
  localTimes();
  for (const el of document.querySelectorAll("[data-ago]")) set(el, ago(Math.floor(now / 1000) - Number(el.getAttribute("data-ago"))));
}

/** Says times that stand in UTC in the reader's zone too, where that is another one. */
function localTimes() {
  for (const el of document.querySelectorAll("[data-local]")) {
    const at = new Date(Number(el.getAttribute("data-local")) * 1000);
    if (at.getTimezoneOffset() === 0) continue;
    set(el, `${at.toLocaleString(undefined, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" })} your time`);
  }
}
