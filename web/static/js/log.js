// The log of a job: puts the parts of the viewer together, with its tools, keys, links to lines and what the reader prefers.

import { copy } from "./clipboard.js";
import { count, glyph, make, size } from "./logline.js";
import { LogData } from "./logdata.js";
import { LogSearch } from "./logsearch.js";
import { LogView } from "./logview.js";

const modes = ["off", "command", "job", "local", "utc"];
const words = { off: "off", command: "since command", job: "since job", local: "local", utc: "UTC" };
const store = "signalbox.log";

/** @returns {{wrap?: boolean, times?: string}} */
function preferences() {
  try {
    return JSON.parse(localStorage.getItem(store) ?? "{}");
  } catch {
    return {};
  }
}

export async function watchLog() {
  const log = document.getElementById("log");
  const commands = document.getElementById("commands");
  const tools = document.getElementById("log-tools");
  if (!log?.dataset.api || !commands || !tools) return;
  const data = new LogData(log.dataset.api, log.dataset.attempt ?? "");
  const live = "log" in log.dataset;
  try {
    await data.load();
  } catch (e) {
    // What the page has without scripts stays. A log that has not begun is waited for.
    if (!live) return;
  }
  if (!data.index.commands.length && !live) return;
  if (!data.index.commands.length) await new Promise((begun) => {
    data.addEventListener("changed", begun, { once: true });
    data.follow();
  });
  else if (!data.index.complete) data.follow();
  const box = make("div");
  box.id = "commands";
  commands.replaceWith(box);
  const view = new LogView(data, box);
  tools.replaceChildren();
  const search = new LogSearch(view, tools);
  new Tools(view, search, tools);
}

class Tools {
  /** @param {LogView} view @param {LogSearch} search @param {HTMLElement} tools */
  constructor(view, search, tools) {
    this.view = view;
    this.search = search;
    this.data = view.data;
    const kept = preferences();
    view.wrap = kept.wrap ?? true;
    view.times = modes.includes(kept.times ?? "") ? String(kept.times) : "off";
    this.times = this.button(tools, "sel", "", () => this.cycle());
    this.failed = this.button(tools, "btn btn-sm btn-quiet only-wide", "Only failed", () => this.onlyFailed());
    this.all = this.button(tools, "btn btn-sm btn-quiet only-wide", "Expand all", () => this.expand());
    this.wrap = this.button(tools, "btn btn-sm btn-quiet btn-icon", "", () => this.setWrap(!view.wrap));
    this.wrap.append(glyph("wrap", "ico"));
    this.end = document.getElementById("log-end") ?? make("span");
    this.gg = 0;
    this.mark = ""; // what the foot says
    this.at = -1; // which failed command was gone to
    this.anchor = 0; // the line in which a selection began
    view.update("index");
    this.say();
    this.failed.hidden = !this.data.index.commands.some((c) => c.exit);
    if (!this.target(true)) this.begin();
    view.addEventListener("selected", () => this.selected());
    view.addEventListener("moved", () => this.foot());
    this.data.addEventListener("changed", (e) => {
      const total = document.getElementById("total");
      if (total) total.textContent = `${count(this.data.index.lines)}\u00a0${this.data.index.lines === 1 ? "line" : "lines"}, ${size(this.data.index.bytes)}`;
      if (/** @type {CustomEvent} */ (e).detail !== "lines") this.failed.hidden = !this.data.index.commands.some((c) => c.exit);
    });
    addEventListener("hashchange", () => this.target(false));
    document.addEventListener("click", (e) => {
      // A link to a line of this page that is the address already, or that has ?line= for those without scripts.
      const a = e.target instanceof Element ? e.target.closest("a[href*='#L']") : null;
      if (!(a instanceof HTMLAnchorElement) || view.box.contains(a) || a.pathname !== location.pathname || e.metaKey || e.ctrlKey || e.shiftKey) return;
      e.preventDefault();
      const url = new URL(location.href);
      url.hash = a.hash;
      history.pushState(history.state, "", url);
      this.target(false);
      view.box.closest(".log")?.scrollIntoView({ block: "nearest" });
    });
    document.addEventListener("keydown", (e) => this.key(e));
    view.box.addEventListener("copy", (e) => this.copied(e));
    view.box.addEventListener("pointerdown", (e) => {
      this.anchor = lineOf(e.target);
    });
  }

  /** @param {HTMLElement} tools @param {string} cls @param {string} text @param {() => void} click */
  button(tools, cls, text, click) {
    const b = /** @type {HTMLButtonElement} */ (make("button", cls, text));
    b.type = "button";
    b.addEventListener("click", click);
    tools.append(b);
    return b;
  }

  /** Where a reader begins who did not say where. */
  begin() {
    const failed = this.data.index.commands.find((c) => c.exit);
    if (!this.data.index.complete) {
      this.view.follow(true);
      this.view.toEnd();
    } else if (failed?.last) {
      this.view.show(failed.last, this.view.view - 64);
    }
    this.foot();
  }

  /** Shows what the address names: #L10, #L10-L20 or #c3.L10. @param {boolean} first */
  target(first) {
    const m = /^#(?:c(\d{1,6})\.)?L(\d{1,12})(?:-L(\d{1,12}))?$/.exec(location.hash);
    if (!m) {
      const line = Number(new URL(location.href).searchParams.get("line"));
      if (first && line > 0) this.view.reveal(line);
      return first && line > 0;
    }
    let from = Number(m[2]);
    let to = Number(m[3] ?? from);
    if (m[1]) {
      const c = this.data.index.commands[Number(m[1]) - 1];
      if (!c) return false;
      from += (c.first ?? c.line + 1) - 1;
      to += (c.first ?? c.line + 1) - 1;
    }
    from = Math.min(from, Math.max(this.data.index.lines, 1));
    this.view.selection = { from, to: Math.max(from, Math.min(to, this.data.index.lines)) };
    this.view.reveal(from);
    this.foot();
    return true;
  }

  selected() {
    const s = this.view.selection;
    const url = new URL(location.href);
    url.searchParams.delete("line");
    url.hash = s ? (s.from === s.to ? `L${s.from}` : `L${s.from}-L${s.to}`) : "";
    history.replaceState(history.state, "", s ? url : url.href.replace(/#$/, ""));
    this.foot();
  }

  say() {
    this.times.replaceChildren("Times: ", make("b", "", words[/** @type {keyof typeof words} */ (this.view.times)]));
    this.wrap.setAttribute("aria-pressed", String(this.view.wrap));
    this.wrap.setAttribute("aria-label", `Wrap lines: ${this.view.wrap ? "on" : "off"}`);
    this.wrap.title = `Wrap lines: ${this.view.wrap ? "on" : "off"}`;
    this.all.textContent = this.allOpen() ? "Collapse all" : "Expand all";
    this.failed.setAttribute("aria-pressed", String(this.view.rows.onlyFailed));
  }

  keep() {
    try {
      localStorage.setItem(store, JSON.stringify({ wrap: this.view.wrap, times: this.view.times }));
    } catch {
      // It holds for this page then.
    }
    this.view.anchored(() => {
      this.view.rows.extra.pages.clear();
      this.view.rows.extra.sums = null;
      this.view.layer.classList.toggle("nowrap", !this.view.wrap);
      this.view.layer.classList.toggle("timed", this.view.times !== "off");
    });
    this.say();
  }

  cycle() {
    this.view.times = modes[(modes.indexOf(this.view.times) + 1) % modes.length];
    this.keep();
  }

  /** @param {boolean} on */
  setWrap(on) {
    this.view.wrap = on;
    this.keep();
  }

  onlyFailed() {
    this.view.anchored(() => { this.view.rows.onlyFailed = !this.view.rows.onlyFailed; });
    this.say();
  }

  allOpen() {
    return this.data.index.commands.every((c) => this.view.rows.isOpen(c));
  }

  expand() {
    const open = !this.allOpen();
    this.view.anchored(() => {
      for (const c of this.data.index.commands) this.view.rows.folds.set(c.n, open);
    });
    this.say();
  }

  nextFailed() {
    const list = this.data.index.commands.filter((c) => c.exit);
    if (!list.length) return;
    this.at = (this.at + 1) % list.length;
    this.view.rows.folds.set(list[this.at].n, true);
    this.view.reveal(list[this.at].last ?? list[this.at].line);
  }

  foot() {
    const s = this.view.selection;
    const mark = JSON.stringify([s, this.view.following, this.data.index.complete, this.data.index.lines]);
    if (this.mark === mark) return;
    this.mark = mark;
    if (s) {
      const bar = make("span", "selbar");
      const lines = s.from === s.to ? `Line ${count(s.from)}` : `Lines ${count(s.from)} to ${count(s.to)}`;
      bar.append(make("b", "", lines));
      const add = (/** @type {string} */ icon, /** @type {string} */ text, /** @type {() => Promise<string>} */ get) => {
        const b = this.button(bar, "btn btn-sm btn-quiet", "", async () => {
          const done = await get().then(copy).catch(() => false);
          b.lastChild?.replaceWith(done ? "Copied" : "Not copied");
        });
        b.append(glyph(icon, "ico"), text);
      };
      add("link", "Copy link", async () => this.link());
      add("copy", "Copy text", () => this.data.text(s.from, s.to));
      const clear = this.button(bar, "btn btn-sm btn-quiet btn-icon", "", () => this.view.select(0, 0));
      clear.setAttribute("aria-label", "Mark no lines");
      clear.append(glyph("x", "ico"));
      this.end.replaceChildren(bar);
      return;
    }
    if (this.data.index.complete) this.end.replaceChildren();
    else if (this.view.following) this.end.replaceChildren(make("span", "", "Following"));
    else {
      const fresh = this.data.index.lines - this.view.known;
      const b = this.button(make("span"), "btn btn-sm", `Jump to latest${fresh > 0 ? `, ${count(fresh)} new ${fresh === 1 ? "line" : "lines"}` : ""}`, () => this.latest());
      this.end.replaceChildren(b);
    }
  }

  link() {
    const url = new URL(location.href);
    url.searchParams.set("attempt", this.data.attempt);
    url.searchParams.delete("q");
    return url.href;
  }

  latest() {
    this.view.follow(!this.data.index.complete);
    this.view.toEnd();
  }

  /** @param {ClipboardEvent} e */
  copied(e) {
    const picked = getSelection();
    const s = this.view.selection;
    if ((!picked || picked.isCollapsed) && s) {
      e.preventDefault();
      this.data.text(s.from, s.to).then(copy);
      return;
    }
    // A selection over rows that left the page holds a part of the text only: fetch all of it.
    const to = lineOf(picked?.focusNode ?? null) || lineOf(picked?.anchorNode ?? null);
    if (!this.anchor || !to || document.getElementById(`L${this.anchor}`)?.contains(picked?.anchorNode ?? null)) return;
    if (Math.abs(to - this.anchor) < 2) return;
    e.preventDefault();
    this.data.text(Math.min(this.anchor, to), Math.max(this.anchor, to)).then(copy);
  }

  /** @param {KeyboardEvent} e */
  key(e) {
    const at = /** @type {HTMLElement} */ (e.target);
    const typing = at.closest("input, textarea, select, [contenteditable]");
    if ((e.ctrlKey || e.metaKey) && !e.altKey) {
      if (e.key === "f" && at !== this.search.input && !typing) {
        e.preventDefault();
        this.search.input.focus();
        this.search.input.select();
      } else if (e.key === "a" && this.view.box.contains(at)) {
        e.preventDefault();
        getSelection()?.removeAllRanges();
        this.view.select(1, this.data.index.lines);
      }
      return;
    }
    if (typing || e.altKey || document.documentElement.dataset.keys === "off" || document.querySelector("dialog[open]")) return;
    const now = Date.now();
    switch (e.key) {
      case "f": this.nextFailed(); break;
      case "t": this.cycle(); break;
      case "w": this.setWrap(!this.view.wrap); break;
      case "n": this.search.go(1); break;
      case "N": this.search.go(-1); break;
      case "G": this.latest(); break;
      case "g":
        if (now - this.gg < 800) this.view.follow(false), this.view.go(0);
        this.gg = now;
        return;
      case "Escape": if (this.view.selection) this.view.select(0, 0); break;
      case "End": if (at === this.view.box) this.latest(); else return; break;
      case "Home": if (at === this.view.box) this.view.follow(false), this.view.go(0); else return; break;
      default: return;
    }
    e.preventDefault();
    e.stopPropagation();
  }
}

/** The line that a place in the page belongs to, 0 for none. @param {EventTarget | Node | null} at */
function lineOf(at) {
  const el = at instanceof Element ? at : at instanceof Node ? at.parentElement : null;
  const row = el?.closest(".ln");
  return row ? Number(row.id.slice(1)) : 0;
}
