// How one row of a log looks. Text from the log only ever becomes textContent, and classes come from the server's own list.

/** @typedef {import("./logdata.js").LogLine} LogLine */
/** @typedef {import("./logdata.js").Command} Command */

import { clock, serverNow } from "./time.js";

const known = /^term-(fg|bg)[ix]?\d{1,3}$/;
const link = /https?:\/\/[^\s<>"'`\u0000-\u001f]+/g;
const svg = "http://www.w3.org/2000/svg";

/**
 * @param {string} name @param {string} [className] @param {string} [text]
 * @returns {HTMLElement}
 */
export function make(name, className, text) {
  const el = document.createElement(name);
  if (className) el.className = className;
  if (text !== undefined) el.textContent = text;
  return el;
}

/** @param {string} name @param {string} className @param {string} [label] */
export function glyph(name, className, label) {
  const el = document.createElementNS(svg, "svg");
  el.setAttribute("class", className);
  if (label) {
    el.setAttribute("role", "img");
    el.setAttribute("aria-label", label);
  } else el.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(svg, "use");
  use.setAttribute("href", `#i-${name}`);
  el.append(use);
  return el;
}

/** @param {number} n */
export function count(n) {
  return n.toLocaleString("en-US");
}

/** @param {number} n bytes */
export function size(n) {
  const units = ["B", "KB", "MB", "GB"];
  let i = 0;
  for (; n >= 999.5 && i < units.length - 1; i++) n /= 1000;
  return `${i === 0 || n >= 99.5 ? Math.round(n) : n.toFixed(1)}\u00a0${units[i]}`;
}

/** Where links are in a text. @param {string} text */
function links(text) {
  const out = [];
  if (text.includes("://")) {
    for (const m of text.matchAll(link)) {
      const href = m[0].replace(/[.,;:!?)\]}]+$/, "");
      if (URL.canParse(href)) out.push({ from: m.index, to: m.index + href.length, href });
    }
  }
  return out;
}

/**
 * Writes the text of a line with its colours, its links and what a search found in it.
 * @param {HTMLElement} into @param {LogLine} l @param {{col: number, len: number, now: boolean}[]} hits
 */
export function writeText(into, l, hits) {
  const whole = l.s.map((r) => r[0]).join("");
  const spots = links(whole);
  const cuts = new Set([0, whole.length]);
  for (const s of spots) cuts.add(s.from).add(s.to);
  for (const h of hits) cuts.add(h.col).add(h.col + h.len);
  const marks = [...cuts].sort((a, b) => a - b);
  let at = 0;
  /** @type {Node[]} */
  const nodes = [];
  for (const [text, cls] of l.s) {
    const classes = (cls ?? "").split(" ").filter((c) => known.test(c)).join(" ");
    let from = at;
    const end = at + text.length;
    for (const m of marks) {
      if (m <= from || from >= end) continue;
      const to = Math.min(m, end);
      nodes.push(piece(whole.slice(from, to), classes, spots.find((s) => s.from <= from && to <= s.to)?.href, hits.find((h) => h.col <= from && to <= h.col + h.len)));
      from = to;
    }
    at = end;
  }
  into.replaceChildren(...nodes);
}

/** @param {string} text @param {string} classes @param {string} [href] @param {{now: boolean}} [hit] @returns {Node} */
function piece(text, classes, href, hit) {
  /** @type {Node} */
  let node = classes ? make("span", classes, text) : document.createTextNode(text);
  if (hit) {
    const mark = make("mark", hit.now ? "now" : "");
    mark.append(node);
    node = mark;
  }
  if (href) {
    const a = /** @type {HTMLAnchorElement} */ (make("a", "out"));
    a.href = href;
    a.rel = "noopener noreferrer nofollow";
    a.target = "_blank";
    a.append(node);
    node = a;
  }
  return node;
}

/** How a command stands: class and word. @param {Command} c */
function state(c) {
  if (c.running) return ["running", "Running"];
  if (c.cut_off) return ["stopped", "Cut off"];
  if (c.exit === undefined) return ["gone", "Unknown"];
  return c.exit ? ["failed", "Failed"] : ["passed", "Passed"];
}

/** @param {Command} c @param {boolean} open */
export function headRow(c, open) {
  const row = make("div", open ? "lh open" : "lh");
  row.dataset.command = String(c.n);
  const [cls, word] = state(c);
  const no = /** @type {HTMLAnchorElement} */ (make("a", "no", String(c.line)));
  no.href = `#L${c.line}`;
  const name = /** @type {HTMLButtonElement} */ (make("button", "nm"));
  name.type = "button";
  name.setAttribute("aria-expanded", String(open));
  name.append(glyph("chev", "ico fold"), make("code", "", c.directive));
  if (c.more) name.append(make("span", "muted nw xs", `${c.more} more ${c.more === 1 ? "line" : "lines"}`));
  if (c.merged) name.append(make("span", "muted nw xs", `and ${count(c.merged)} more commands`));
  const end = make("span", "du");
  if (c.exit) end.append(make("span", "st is-failed", `exit ${c.exit}`));
  if (c.cut_off) end.append(make("span", "st is-stopped", "terminated"));
  const took = make("span", "", c.start && c.end && c.end >= c.start ? clock((c.end - c.start) * 1000) : c.running ? "" : "--:--");
  if (c.running && c.start) {
    took.dataset.since = String(c.start * 1000);
    took.textContent = clock(serverNow() - c.start * 1000);
  }
  end.append(took);
  row.append(no, glyph(cls, `ico lamp is-${cls}`, word), name, end);
  return row;
}

/** @param {string} text @param {boolean} lost */
export function noteRow(text, lost) {
  const el = make("div", lost ? "gap lost" : "gap");
  el.append(make("span"), make("span", "", text));
  return el;
}
