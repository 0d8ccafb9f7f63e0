// Where the rows of a log are, in pixels from its top: heads of commands, their lines when they are open, and what stands between
// two lines. Everything is found in a few steps, however long the log is.

/** @typedef {import("./logdata.js").Index} Index */
/** @typedef {import("./logdata.js").Command} Command */
/** @typedef {import("./logdata.js").Note} Note */
/** @typedef {{c: Command, k: number, line?: number, note?: Note, none?: boolean, top: number}} Row */

export const rowHeight = 20;
export const headHeight = 32;
const pad = 6; // above and below the lines of a command
const page = 256; // lines whose extra height is summed up

/** Extra is how much higher than one row some lines are: those that are wrapped and were measured. */
class Extra {
  constructor() {
    /** @type {Map<number, Map<number, number>>} */
    this.pages = new Map();
    /** @type {number[] | null} */
    this.sums = null;
  }

  /** @param {number} line @param {number} px */
  set(line, px) {
    const p = Math.floor(line / page);
    const lines = this.pages.get(p) ?? new Map();
    if ((lines.get(line) ?? 0) === px) return false;
    if (px) lines.set(line, px);
    else lines.delete(line);
    this.pages.set(p, lines);
    this.sums = null;
    return true;
  }

  /** Returns the extra height of all lines before one. @param {number} line */
  before(line) {
    if (this.pages.size === 0) return 0;
    const p = Math.floor(line / page);
    if (!this.sums) {
      const last = Math.max(...this.pages.keys());
      this.sums = [0];
      for (let i = 0; i <= last; i++) {
        let sum = this.sums[i];
        for (const px of this.pages.get(i)?.values() ?? []) sum += px;
        this.sums.push(sum);
      }
    }
    let sum = this.sums[Math.min(p, this.sums.length - 1)];
    for (const [n, px] of this.pages.get(p) ?? []) if (n < line) sum += px;
    return sum;
  }
}

export class Rows {
  constructor() {
    /** @type {Index | null} */
    this.index = null;
    /** @type {Map<number, boolean>} what the reader opened and closed */
    this.folds = new Map();
    /** @type {Note[][]} by command */
    this.notes = [];
    /** @type {number[]} */
    this.tops = [];
    this.height = 0;
    this.extra = new Extra();
    this.onlyFailed = false;
  }

  /** Takes a new state of the log. @param {Index} index */
  set(index) {
    this.index = index;
    this.notes = [];
    for (const n of index.notes) (this.notes[n.command] ??= []).push(n);
    for (const list of this.notes) list?.sort((a, b) => a.before - b.before);
    for (const c of index.commands) if (c.running && !this.folds.has(c.n)) this.folds.set(c.n, true);
    this.measure();
  }

  measure() {
    this.tops = [];
    let top = 0;
    for (const c of this.index?.commands ?? []) {
      this.tops.push(top);
      top += this.hidden(c) ? 0 : headHeight + this.bodyHeight(c);
    }
    this.height = top;
  }

  /** @param {Command} c */
  hidden(c) {
    return this.onlyFailed && !c.exit && !c.cut_off && !c.running;
  }

  /** @param {Command} c */
  isOpen(c) {
    return this.folds.get(c.n) ?? Boolean(c.running || c.exit || c.cut_off);
  }

  /** How many rows an open command has below its head. @param {Command} c */
  count(c) {
    const lines = c.first ? (c.last ?? c.first) - c.first + 1 : 0;
    return lines + (this.notes[c.n]?.length ?? 0) || (c.running ? 0 : 1);
  }

  /** @param {Command} c */
  bodyHeight(c) {
    if (!this.isOpen(c)) return 0;
    const n = this.count(c);
    return n ? n * rowHeight + 2 * pad + (c.first ? this.extra.before((c.last ?? c.first) + 1) - this.extra.before(c.first) : 0) : 0;
  }

  /** What the row k of a command is. @param {Command} c @param {number} k @returns {{line?: number, note?: Note, none?: boolean}} */
  at(c, k) {
    const notes = this.notes[c.n] ?? [];
    const first = c.first ?? c.line + 1;
    let lo = 0;
    let hi = notes.length; // how many notes stand before the row k or are it
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (notes[mid].before - first + mid <= k) lo = mid + 1;
      else hi = mid;
    }
    if (lo > 0 && Math.max(notes[lo - 1].before, first) - first + lo - 1 === k) return { note: notes[lo - 1] };
    const line = first + k - lo;
    if (!c.first || line > (c.last ?? c.first)) return notes.length ? { note: notes[notes.length - 1] } : { none: true };
    return { line };
  }

  /** The row of a command in which a line is. @param {Command} c @param {number} line */
  rowOf(c, line) {
    const notes = this.notes[c.n] ?? [];
    let before = 0;
    while (before < notes.length && notes[before].before <= line) before++;
    return line - (c.first ?? line) + before;
  }

  /** @param {Command} c @param {number} k -1 is the head */
  topOf(c, k) {
    const top = this.tops[c.n - 1];
    if (k < 0) return top;
    const first = c.first ?? 0;
    let above = 0;
    if (first && this.extra.pages.size) {
      const x = this.at(c, k);
      const line = x.line ?? x.note?.before ?? first;
      above = this.extra.before(line) - this.extra.before(first);
    }
    return top + headHeight + pad + k * rowHeight + above;
  }

  /** The command that a line belongs to. @param {number} line @returns {Command | undefined} */
  commandOf(line) {
    const list = this.index?.commands ?? [];
    let lo = 0;
    let hi = list.length;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (list[mid].line <= line) lo = mid + 1;
      else hi = mid;
    }
    return list[lo - 1];
  }

  /** The place of a line: its own when its command is open, else that of the head. @param {number} line */
  place(line) {
    const c = this.commandOf(line);
    if (!c) return 0;
    return this.topOf(c, line === c.line || !this.isOpen(c) ? -1 : this.rowOf(c, line));
  }

  /** The row at a height. @param {number} y @returns {Row | null} */
  find(y) {
    const list = this.index?.commands ?? [];
    if (!list.length) return null;
    let lo = 0;
    let hi = list.length;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (this.tops[mid] <= y) lo = mid + 1;
      else hi = mid;
    }
    let i = Math.max(lo - 1, 0);
    while (i < list.length - 1 && this.hidden(list[i])) i++;
    const c = list[i];
    if (this.hidden(c)) return null;
    const body = this.bodyHeight(c);
    if (!body || y < this.tops[i] + headHeight) return { c, k: -1, top: this.tops[i] };
    let a = 0;
    let b = this.count(c) - 1;
    while (a < b) {
      const mid = (a + b + 1) >> 1;
      if (this.topOf(c, mid) <= y) a = mid;
      else b = mid - 1;
    }
    return { c, k: a, ...this.at(c, a), top: this.topOf(c, a) };
  }

  /** The row after a row. @param {Row} row @returns {Row | null} */
  next(row) {
    const { c, k } = row;
    if (this.isOpen(c) && k + 1 < this.count(c)) return { c, k: k + 1, ...this.at(c, k + 1), top: 0 };
    for (let i = c.n; i < (this.index?.commands.length ?? 0); i++) {
      const next = /** @type {Index} */ (this.index).commands[i];
      if (!this.hidden(next)) return { c: next, k: -1, top: 0 };
    }
    return null;
  }
}
