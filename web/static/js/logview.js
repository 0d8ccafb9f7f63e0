// The log as a list of which only the part in sight is in the page. Above a certain height the scroll bar moves in proportion,
// while wheel, keys and fingers still move row by row.

import { count, headRow, make, noteRow, writeText } from "./logline.js";
import { clock } from "./time.js";
import { Rows, rowHeight } from "./logrows.js";

/** @typedef {import("./logdata.js").LogData} LogData */
/** @typedef {import("./logdata.js").LogLine} LogLine */
/** @typedef {import("./logrows.js").Row} Row */
/** @typedef {{line: number, off: number} | "end"} Aim */

const most = 400; // rows in the page
const beyond = 300; // pixels above and below the part in sight
const tallest = 12_000_000; // pixels; browsers cannot make anything much taller
const scaleFrom = 700_000 * rowHeight;

export class LogView extends EventTarget {
  /** @param {LogData} data @param {HTMLElement} box */
  constructor(data, box) {
    super();
    this.data = data;
    this.rows = new Rows();
    this.box = box;
    // Heights are attributes of empty pictures, because pages here have no styles of their own.
    this.space = spacer();
    this.before = spacer();
    this.layer = make("div", "log-rows");
    this.layer.append(this.before);
    this.stick = make("div", "log-stick");
    this.stick.hidden = true;
    this.stick.setAttribute("aria-hidden", "true");
    box.className = "log-scroll log-x";
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", "Lines of the log");
    box.replaceChildren(this.stick, this.space, this.layer);
    this.top = 0; // of what is in sight, in pixels from the top of the log
    this.seen = 0; // scrollTop as it was set or seen last
    this.wrap = true;
    this.width = 0; // of the box when heights were found out
    this.times = "off";
    this.following = false;
    /** @type {{from: number, to: number} | null} */
    this.selection = null;
    /** @type {(line: number) => {col: number, len: number, now: boolean}[]} */
    this.hits = () => [];
    /** @type {Map<string, {el: HTMLElement, mark: string}>} */
    this.mounted = new Map();
    this.frame = 0;
    this.settle = 0;
    /** @type {Aim | null} what stays in its place while heights are found out, until the reader moves */
    this.aim = null;
    this.known = 0; // lines when the reader last saw the end
    box.addEventListener("scroll", () => this.scrolled(), { passive: true });
    box.addEventListener("click", (e) => this.clicked(e));
    new ResizeObserver(() => this.resized()).observe(box);
    data.addEventListener("changed", (e) => this.update(/** @type {CustomEvent} */ (e).detail));
  }

  /** @param {string} what */
  update(what) {
    if (what === "index" || what === "grown" || what === "final") {
      this.rows.set(this.data.index);
      this.layer.className = `log-rows ${gutter(this.data.index.lines)}${this.wrap ? "" : " nowrap"}${this.times === "off" ? "" : " timed"}`;
      this.stick.className = `log-stick ${gutter(this.data.index.lines)}`;
      this.resize();
      if (this.following && what === "grown") this.toEnd();
    }
    this.draw();
    this.dispatchEvent(new CustomEvent("moved"));
  }

  get view() {
    return this.box.clientHeight;
  }

  get scaled() {
    return this.rows.height > scaleFrom;
  }

  /** The last position. */
  get end() {
    return Math.max(0, this.rows.height - this.view);
  }

  resize() {
    const px = this.scaled ? tallest : this.rows.height;
    this.space.setAttribute("height", String(px));
    this.top = Math.min(this.top, this.end);
    this.sync();
  }

  resized() {
    if (this.width !== this.box.clientWidth) {
      this.width = this.box.clientWidth;
      this.rows.extra.pages.clear();
      this.rows.extra.sums = null;
      this.rows.measure();
      this.resize();
    }
    this.draw();
  }

  /** Puts the scroll bar where the position is. */
  sync() {
    const room = Math.max(0, (this.scaled ? tallest : this.rows.height) - this.view);
    const to = this.scaled ? Math.round((this.end ? this.top / this.end : 0) * room) : this.top;
    if (Math.abs(this.box.scrollTop - to) >= 1) this.box.scrollTop = to;
    this.seen = this.box.scrollTop;
  }

  scrolled() {
    const now = this.box.scrollTop;
    const by = now - this.seen;
    if (!by) return;
    this.aim = null;
    const before = this.top;
    if (!this.scaled) this.top = now;
    else {
      const room = tallest - this.view;
      if (now <= 0) this.top = 0;
      else if (now >= room - 1) this.top = this.end;
      else if (Math.abs(by) <= 1.5 * this.view) this.top = Math.max(0, Math.min(this.end, this.top + by));
      else this.top = (now / room) * this.end;
      clearTimeout(this.settle);
      this.settle = setTimeout(() => {
        this.sync();
        this.draw();
      }, 150);
    }
    this.seen = now;
    if (this.top > before && this.top >= this.end - 1) this.aim = "end";
    if (this.top < before - 1) this.follow(false);
    else if (!this.data.index.complete && this.top >= this.end - rowHeight) this.follow(true);
    this.draw();
  }

  /** @param {boolean} on */
  follow(on) {
    if (on) this.known = this.data.index.lines;
    if (this.following === on) return;
    this.following = on;
    this.known = this.data.index.lines;
    this.dispatchEvent(new CustomEvent("moved"));
  }

  /** Goes to a position. @param {number} top @param {Aim | null} [aim] */
  go(top, aim = null) {
    this.aim = aim;
    this.top = Math.max(0, Math.min(this.end, top));
    this.sync();
    this.draw();
  }

  toEnd() {
    this.known = this.data.index.lines;
    this.go(this.end, "end");
  }

  /** Shows a line so many pixels below the top. @param {number} line @param {number} off */
  show(line, off) {
    this.go(this.rows.place(line) - off, { line, off });
  }

  /** Shows a line in the middle, and opens its command. @param {number} n @param {boolean} [open] */
  reveal(n, open = true) {
    const c = this.rows.commandOf(n);
    if (!c) return;
    this.follow(false);
    if (this.rows.hidden(c)) this.rows.onlyFailed = false;
    if (open && n !== c.line) this.rows.folds.set(c.n, true);
    this.rows.measure();
    this.resize();
    this.show(n, this.view / 2 - rowHeight);
  }

  /** Tells whether a line is in sight. @param {number} n */
  shows(n) {
    const y = this.rows.place(n);
    return y >= this.top + 40 && y <= this.top + this.view - 60;
  }

  /** @param {number} n @param {boolean} open */
  fold(n, open) {
    this.rows.folds.set(n, open);
    const c = this.data.index.commands[n - 1];
    this.rows.measure();
    this.resize();
    const head = this.rows.topOf(c, -1);
    if (head < this.top) this.go(head);
    this.draw();
  }

  /** Keeps the row at the top in sight where it is while something changes the heights. @param {() => void} change */
  anchored(change) {
    const row = this.rows.find(this.top);
    const off = row ? this.top - row.top : 0;
    change();
    this.rows.measure();
    this.resize();
    if (this.aim === "end") this.toEnd();
    else if (this.aim) this.show(this.aim.line, this.aim.off);
    else if (row) this.go(this.rows.topOf(row.c, this.rows.isOpen(row.c) ? row.k : -1) + Math.min(off, rowHeight));
    this.draw();
  }

  draw() {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.render());
  }

  render() {
    this.frame = 0;
    const from = Math.max(0, this.top - beyond);
    const to = this.top + this.view + beyond;
    /** @type {Row | null} */
    let row = this.rows.find(from);
    const start = row?.top ?? 0;
    const used = new Set();
    /** @type {{el: HTMLElement, line: number}[]} */
    const lines = [];
    let ref = this.before.nextSibling;
    let y = start;
    let first = 0;
    let last = 0;
    let n = 0;
    for (; row && y < to && n < most; row = this.rows.next(row), n++) {
      const key = row.line ? `l${row.line}` : row.note ? `n${row.c.n}/${row.note.before}/${row.note.silence ?? 0}` : `${row.k < 0 ? "h" : "e"}${row.c.n}`;
      const el = this.element(key, row);
      used.add(key);
      if (ref && !ref.parentNode) ref = el; // a head was made anew, in its old place
      if (ref === el) ref = ref.nextSibling;
      else this.layer.insertBefore(el, ref);
      const px = row.line ? (this.rows.extra.before(row.line + 1) - this.rows.extra.before(row.line)) : 0;
      y += row.k < 0 ? 32 + (this.rows.isOpen(row.c) && this.rows.count(row.c) ? 6 : 0) : rowHeight + px;
      if (row.k >= 0 && row.k === this.rows.count(row.c) - 1) y += 6;
      if (row.line) {
        lines.push({ el, line: row.line });
        first ||= row.line;
        last = row.line;
      }
    }
    for (const [key, m] of this.mounted) {
      if (used.has(key)) continue;
      m.el.remove();
      this.mounted.delete(key);
    }
    this.before.setAttribute("height", String(Math.max(0, Math.round(this.box.scrollTop + start - this.top))));
    this.showStick();
    if (first) this.data.want(first, last);
    if (this.wrap || this.times !== "off") this.measureLines(lines);
  }

  /** Finds out how high lines are, and keeps what is in sight where it is. @param {{el: HTMLElement, line: number}[]} lines */
  measureLines(lines) {
    const heights = lines.map((l) => l.el.offsetHeight);
    const anchor = this.rows.find(this.top);
    let changed = false;
    lines.forEach((l, i) => {
      changed = this.rows.extra.set(l.line, Math.max(0, heights[i] - rowHeight)) || changed;
    });
    if (!changed) return;
    this.rows.measure();
    if (this.aim === "end") this.top = this.end;
    else if (this.aim) this.top = Math.max(0, Math.min(this.end, this.rows.place(this.aim.line) - this.aim.off));
    else if (anchor) this.top += this.rows.topOf(anchor.c, anchor.k) - anchor.top;
    this.resize();
    this.draw();
  }

  /** The command whose lines are in sight stays at the top. */
  showStick() {
    const row = this.rows.find(this.top);
    const show = row !== null && row.k >= 0;
    this.stick.hidden = !show;
    if (!show || !row) {
      this.stick.dataset.mark = "";
      return;
    }
    const mark = JSON.stringify(row.c);
    if (this.stick.dataset.mark !== mark) {
      this.stick.dataset.mark = mark;
      const head = headRow(row.c, true);
      for (const el of head.querySelectorAll("a, button")) el.setAttribute("tabindex", "-1");
      this.stick.replaceChildren(head);
    }
  }

  /** @param {string} key @param {Row} row */
  element(key, row) {
    const old = this.mounted.get(key);
    if (row.k < 0) {
      const open = this.rows.isOpen(row.c);
      const hits = this.hits(row.c.line).length ? "hit" : "";
      const mark = JSON.stringify(row.c) + open + hits + this.isOn(row.c.line);
      if (old?.mark === mark) return old.el;
      const had = old?.el.contains(document.activeElement);
      const el = headRow(row.c, open);
      if (open && this.rows.count(row.c)) el.classList.add("padded");
      if (hits) el.classList.add("hit");
      if (this.isOn(row.c.line)) el.classList.add("on");
      if (old) old.el.replaceWith(el);
      this.mounted.set(key, { el, mark });
      if (had) el.querySelector("button")?.focus({ preventScroll: true });
      return el;
    }
    if (!row.line) {
      if (old) return old.el;
      const el = row.note ? noteRow(row.note.lost ?? `${count(row.note.silence ?? 0)} s without output`, Boolean(row.note.lost)) : make("p", "none", "This command printed nothing");
      this.mounted.set(key, { el, mark: "" });
      return el;
    }
    return this.lineRow(key, row, row.line, old);
  }

  /** @param {string} key @param {Row} row @param {number} n @param {{el: HTMLElement, mark: string}} [old] */
  lineRow(key, row, n, old) {
    const l = this.data.line(n);
    const hits = this.hits(n);
    const hot = row.c.exit && n === row.c.last;
    const mark = `${l ? (l.s.length + JSON.stringify(l.s).length) : "-"}${l?.cut ?? ""}|${JSON.stringify(hits)}|${this.times}|${this.isOn(n)}|${hot}`;
    if (old && old.mark === mark && (old.el.dataset.open !== "1")) return old.el;
    const el = old?.el ?? make("div", "ln");
    el.id = `L${n}`;
    el.className = `ln${this.isOn(n) ? " on" : ""}${hot ? " hot" : ""}${l ? "" : " loading"}`;
    el.dataset.open = this.data.index.open && n === this.data.index.lines ? "1" : "";
    const no = /** @type {HTMLAnchorElement} */ (make("a", "no", String(n)));
    no.href = `#L${n}`;
    no.tabIndex = -1;
    const text = make("span", "tx");
    if (l) writeText(text, l, hits);
    if (l?.cut) {
      const more = /** @type {HTMLButtonElement} */ (make("button", "more-line", `show ${count(Math.ceil(l.cut / 1024))} KiB more`));
      more.type = "button";
      more.dataset.whole = String(n);
      text.append(" ", more);
    }
    el.replaceChildren(no, ...(this.times === "off" ? [] : [make("span", "at", this.time(l, row.c))]), text);
    this.mounted.set(key, { el, mark });
    return el;
  }

  /** @param {LogLine | undefined} l @param {import("./logdata.js").Command} c */
  time(l, c) {
    if (!l?.t) return "";
    if (this.times === "command") return clock((l.t - (c.start ?? l.t)) * 1000);
    if (this.times === "job") return clock((l.t - (this.data.index.started ?? l.t)) * 1000);
    const d = new Date(l.t * 1000);
    return this.times === "utc" ? d.toISOString().slice(11, 19) : d.toLocaleTimeString("en-GB");
  }

  /** @param {number} n */
  isOn(n) {
    return this.selection !== null && n >= this.selection.from && n <= this.selection.to;
  }

  /** @param {MouseEvent} e */
  clicked(e) {
    const at = /** @type {HTMLElement} */ (e.target);
    const whole = at.closest("[data-whole]");
    if (whole instanceof HTMLElement) {
      this.data.whole(Number(whole.dataset.whole));
      return;
    }
    const no = at.closest("a.no");
    if (no) {
      e.preventDefault();
      const n = Number(no.textContent);
      const s = this.selection;
      if (e.shiftKey && s) this.select(Math.min(s.from, n), Math.max(s.to, n));
      else if (s && s.from === n && s.to === n) this.select(0, 0);
      else this.select(n, n);
      return;
    }
    const head = at.closest(".lh");
    if (head instanceof HTMLElement && !getSelection()?.toString()) {
      const n = Number(head.dataset.command);
      this.fold(n, !this.rows.isOpen(this.data.index.commands[n - 1]));
    }
  }

  /** Marks lines; 0 marks none. @param {number} from @param {number} to */
  select(from, to) {
    this.selection = from > 0 ? { from, to: Math.max(from, to) } : null;
    this.draw();
    this.dispatchEvent(new CustomEvent("selected"));
  }
}

function spacer() {
  const el = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  el.setAttribute("class", "log-space");
  el.setAttribute("width", "1");
  el.setAttribute("height", "0");
  el.setAttribute("aria-hidden", "true");
  return el;
}

/** The class for the width of line numbers. @param {number} lines */
function gutter(lines) {
  return lines > 999_999 ? "g7" : lines > 9999 ? "g6" : lines > 999 ? "g4" : "g3";
}
