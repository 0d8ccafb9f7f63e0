// Search through the whole log. The server searches; what it finds arrives bit by bit.

import { count, glyph, make } from "./logline.js";

/** @typedef {import("./logview.js").LogView} LogView */
/** @typedef {{line: number, col: number, len: number}} Hit */

const limit = 10_000;
const svg = "http://www.w3.org/2000/svg";

export class LogSearch {
  /** @param {LogView} view @param {HTMLElement} tools */
  constructor(view, tools) {
    this.view = view;
    /** @type {Hit[]} */
    this.list = [];
    /** @type {Map<number, number[]>} places in the list by line */
    this.byLine = new Map();
    this.at = -1;
    this.total = 0;
    this.done = true;
    this.part = 0;
    this.trouble = "";
    /** @type {AbortController | null} */
    this.control = null;
    this.timer = 0;

    this.form = make("form", "log-find");
    this.form.setAttribute("role", "search");
    this.input = /** @type {HTMLInputElement} */ (make("input"));
    this.input.type = "search";
    this.input.placeholder = "Search";
    this.input.setAttribute("aria-label", "Search in the log");
    this.input.maxLength = 400;
    this.input.spellcheck = false;
    this.status = make("span", "hits");
    this.status.setAttribute("role", "status");
    this.letters = toggle("Aa", "Large and small letters differ");
    this.pattern = toggle(".*", "Regular expression");
    const back = button("up", "Previous match");
    const forth = button("down", "Next match");
    this.form.append(glyph("search", "ico"), this.input, this.status, this.letters, this.pattern, back, forth);
    tools.append(this.form);
    this.map = document.createElementNS(svg, "svg");
    this.map.setAttribute("class", "hitmap");
    this.map.setAttribute("viewBox", "0 0 10 1000");
    this.map.setAttribute("preserveAspectRatio", "none");
    this.map.setAttribute("aria-hidden", "true");
    view.box.parentElement?.append(this.map);

    this.form.addEventListener("submit", (e) => {
      e.preventDefault();
      if (this.asked !== this.input.value) this.start();
      else this.go(1);
    });
    this.input.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.start(), 150);
    });
    this.input.addEventListener("keydown", (e) => {
      if (e.key === "Enter" && e.shiftKey) {
        e.preventDefault();
        this.go(-1);
      } else if (e.key === "Escape") {
        this.input.value = "";
        this.start();
        view.box.focus();
      }
    });
    for (const t of [this.letters, this.pattern]) {
      t.addEventListener("click", () => {
        t.setAttribute("aria-pressed", String(t.getAttribute("aria-pressed") !== "true"));
        this.start();
      });
    }
    back.addEventListener("click", () => this.go(-1));
    forth.addEventListener("click", () => this.go(1));
    view.hits = (line) => (this.byLine.get(line) ?? []).map((i) => ({ col: this.list[i].col, len: this.list[i].len, now: i === this.at }));
    view.addEventListener("moved", () => this.draw());
    view.box.addEventListener("scroll", () => this.draw(), { passive: true });
    const q = new URL(location.href).searchParams.get("q");
    if (q) {
      this.input.value = q;
      this.start();
    }
    this.draw();
  }

  start() {
    clearTimeout(this.timer);
    this.control?.abort();
    this.list = [];
    this.byLine.clear();
    this.at = -1;
    this.total = 0;
    this.part = 0;
    this.trouble = "";
    const q = this.input.value;
    this.asked = q;
    const url = new URL(location.href);
    if (q) url.searchParams.set("q", q);
    else url.searchParams.delete("q");
    history.replaceState(history.state, "", url);
    this.done = !q;
    this.say();
    if (q) this.run(q);
  }

  /** @param {string} q */
  async run(q) {
    const control = new AbortController();
    this.control = control;
    const on = (/** @type {HTMLElement} */ t) => (t.getAttribute("aria-pressed") === "true" ? 1 : 0);
    try {
      const answer = await fetch(this.view.data.url("search", { q, re: on(this.pattern), case: on(this.letters), limit }), { signal: control.signal, credentials: "same-origin" });
      if (!answer.ok || !answer.body) {
        this.trouble = (await answer.json().catch(() => null))?.message ?? "The search did not work";
        return;
      }
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const lines = (rest + value).split("\n");
        rest = lines.pop() ?? "";
        for (const text of lines) this.take(JSON.parse(text));
        this.say();
      }
      if (!this.done) this.trouble = "The search was cut off";
    } catch (e) {
      if (!control.signal.aborted) this.trouble = "The search did not work";
    } finally {
      if (!control.signal.aborted) {
        this.done = true;
        this.say();
      }
    }
  }

  /** @param {any} x */
  take(x) {
    if (x.line) {
      const places = this.byLine.get(x.line) ?? [];
      places.push(this.list.length);
      this.byLine.set(x.line, places);
      this.list.push(x);
      if (this.list.length === 1) this.first();
    } else if (x.done) {
      this.done = true;
      this.total = x.total;
    } else if (x.progress) this.part = x.progress;
  }

  /** The first hit is shown, unless the reader is somewhere on purpose. */
  first() {
    this.at = 0;
    if (!this.view.selection) this.view.reveal(this.list[0].line);
  }

  /** @param {number} by */
  go(by) {
    if (!this.list.length) return;
    this.at = (this.at + by + this.list.length) % this.list.length;
    const { line } = this.list[this.at];
    const c = this.view.rows.commandOf(line);
    if (!this.view.shows(line) || (c && !this.view.rows.isOpen(c))) this.view.reveal(line);
    this.say();
  }

  say() {
    const found = this.list.length;
    let text = "";
    if (this.trouble) text = this.trouble;
    else if (!this.input.value) text = "";
    else if (found) text = `${count(this.at + 1)} of ${count(this.done ? Math.max(this.total, found) : found)}${this.done ? "" : "…"}`;
    else text = this.done ? "Nothing found" : `${Math.round(this.part * 100)} %`;
    this.status.textContent = text;
    this.status.classList.toggle("is-bad", Boolean(this.trouble));
    this.view.draw();
    this.draw();
  }

  /** Draws where in the log the hits and failures are, and what is in sight. */
  draw() {
    if (this.drawing) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      const { rows, top, view } = this.view;
      const height = Math.max(rows.height, view, 1);
      const bar = (/** @type {string} */ cls, /** @type {number} */ y, /** @type {number} */ h) => {
        const r = document.createElementNS(svg, "rect");
        r.setAttribute("class", cls);
        r.setAttribute("x", "0");
        r.setAttribute("width", "10");
        r.setAttribute("y", String(y));
        r.setAttribute("height", String(h));
        return r;
      };
      const out = [];
      if (rows.height > view) out.push(bar("v", (top / height) * 1000, Math.max((view / height) * 1000, 8)));
      const spots = new Set();
      for (const h of this.list) {
        spots.add(Math.round((rows.place(h.line) / height) * 330) * 3);
        if (spots.size >= 330) break;
      }
      for (const y of spots) out.push(bar("h", y, 3));
      if (rows.height > view) for (const c of rows.index?.commands ?? []) if (c.exit) out.push(bar("f", Math.min(((rows.topOf(c, rows.isOpen(c) ? rows.count(c) - 1 : -1)) / height) * 1000, 996), 4));
      this.map.replaceChildren(...out);
    });
  }
}

/** @param {string} text @param {string} label */
function toggle(text, label) {
  const b = /** @type {HTMLButtonElement} */ (make("button", "tg", text));
  b.type = "button";
  b.title = label;
  b.setAttribute("aria-label", label);
  b.setAttribute("aria-pressed", "false");
  return b;
}

/** @param {string} icon @param {string} label */
function button(icon, label) {
  const b = /** @type {HTMLButtonElement} */ (make("button", "btn btn-quiet btn-icon btn-copy"));
  b.type = "button";
  b.title = label;
  b.setAttribute("aria-label", label);
  b.append(glyph(icon, "ico ico-12"));
  return b;
}
