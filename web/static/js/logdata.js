// What a page knows of a log: its index, and the lines that are near to what is shown. Lines come in blocks of a thousand, of
// which a few are kept.

/** @typedef {[string, string?]} Run */
/** @typedef {{t?: number, s: Run[], cut?: number, head?: boolean}} LogLine */
/** @typedef {{n: number, line: number, first?: number, last?: number, directive: string, more?: number, merged?: number, start?: number, end?: number, exit?: number, running?: boolean, cut_off?: boolean}} Command */
/** @typedef {{before: number, command: number, silence?: number, lost?: string}} Note */
/** @typedef {{rev: string, lines: number, bytes: number, complete: boolean, open?: boolean, started?: number, commands: Command[], notes: Note[], more_notes?: number}} Index */
/** @typedef {{rev: string, lines: number, bytes: number, open?: boolean, reset?: boolean, skip?: number, from?: number, append?: LogLine[], commands?: Command[], notes?: Note[], complete?: boolean}} Push */

const blockLines = 1000;
const maxBlocks = 20;

export class LogData extends EventTarget {
  /** @param {string} api @param {string} attempt */
  constructor(api, attempt) {
    super();
    this.api = api;
    this.attempt = attempt;
    /** @type {Index} */
    this.index = { rev: "", lines: 0, bytes: 0, complete: false, commands: [], notes: [] };
    /** @type {Map<number, LogLine[]>} blocks by number, the one used last at the end; lines that are not known are holes */
    this.blocks = new Map();
    /** @type {Map<number, AbortController>} */
    this.loading = new Map();
    /** @type {Map<number, number>} blocks that could not be read, and when to try again */
    this.failed = new Map();
  }

  /** @param {string} what @param {Record<string, string | number>} query */
  url(what, query = {}) {
    const q = new URLSearchParams({ attempt: this.attempt });
    for (const [k, v] of Object.entries(query)) q.set(k, String(v));
    return `${this.api}${what}?${q}`;
  }

  /** Reads the index. It throws when the server does not answer. */
  async load() {
    const answer = await fetch(this.url("index"), { credentials: "same-origin" });
    if (answer.status === 401) throw new Error("Your session has ended. Reload to sign in.");
    if (!answer.ok) throw new Error("The log cannot be read just now.");
    const index = await answer.json();
    if (index.rev !== this.index.rev) this.forget();
    this.index = index;
    this.changed("index");
  }

  forget() {
    for (const c of this.loading.values()) c.abort();
    this.loading.clear();
    this.blocks.clear();
  }

  /** @param {string} what */
  changed(what) {
    this.dispatchEvent(new CustomEvent("changed", { detail: what }));
  }

  /** Returns a line if it is here. @param {number} n */
  line(n) {
    return this.blocks.get(Math.floor((n - 1) / blockLines))?.[(n - 1) % blockLines];
  }

  /** Asks for lines that are shown and not here, and lets go of what nobody looks at. @param {number} from @param {number} to */
  want(from, to) {
    const first = Math.floor((from - 1) / blockLines);
    const last = Math.floor((to - 1) / blockLines);
    for (const [b, c] of this.loading) {
      if (b < first - 1 || b > last + 1) {
        c.abort();
        this.loading.delete(b);
      }
    }
    for (let b = first; b <= last; b++) {
      const block = this.blocks.get(b);
      if (block) {
        this.blocks.delete(b);
        this.blocks.set(b, block);
      }
      for (let n = Math.max(from, b * blockLines + 1); n <= Math.min(to, (b + 1) * blockLines, this.index.lines); n++) {
        if (!block?.[(n - 1) % blockLines]) {
          this.fetchBlock(b);
          break;
        }
      }
    }
  }

  /** @param {number} b */
  async fetchBlock(b) {
    if (this.loading.has(b) || (this.failed.get(b) ?? 0) > Date.now()) return;
    const control = new AbortController();
    this.loading.set(b, control);
    const rev = this.index.rev;
    try {
      const answer = await fetch(this.url("lines", { from: b * blockLines + 1, count: blockLines, rev }), { credentials: "same-origin", signal: control.signal });
      if (!answer.ok) throw new Error(String(answer.status));
      const window = await answer.json();
      if (control.signal.aborted) return;
      if (window.rev !== this.index.rev) {
        await this.load();
        return;
      }
      const block = this.block(b);
      // What came over the stream meanwhile may be newer than this answer: only the last line that was there grows.
      window.lines.forEach((/** @type {LogLine} */ l, /** @type {number} */ i) => {
        if (!block[i] || i < window.lines.length - 1) block[i] = l;
      });
      this.changed("lines");
    } catch (e) {
      if (control.signal.aborted) return;
      this.failed.set(b, Date.now() + 2000);
      setTimeout(() => this.changed("lines"), 2100);
    } finally {
      if (this.loading.get(b) === control) this.loading.delete(b);
    }
  }

  /** @param {number} b */
  block(b) {
    let block = this.blocks.get(b);
    if (!block) {
      block = [];
      this.blocks.set(b, block);
      for (const old of this.blocks.keys()) {
        if (this.blocks.size <= maxBlocks) break;
        this.blocks.delete(old);
      }
    }
    return block;
  }

  /** Takes what became of a running log. @param {Push} push */
  apply(push) {
    if (push.reset || (this.index.rev && push.rev !== this.index.rev)) {
      this.load().catch(() => setTimeout(() => this.apply({ ...push, reset: true }), 2000));
      return;
    }
    const x = this.index;
    x.rev = push.rev;
    x.lines = push.lines;
    x.bytes = push.bytes;
    x.open = push.open;
    x.complete = push.complete ?? x.complete;
    for (const c of push.commands ?? []) x.commands[c.n - 1] = c;
    for (const n of push.notes ?? []) {
      const at = x.notes.findIndex((o) => o.before === n.before && o.command === n.command && !o.silence === !n.silence);
      if (at >= 0) x.notes[at] = n;
      else x.notes.push(n);
    }
    let n = push.from ?? 0;
    for (const l of push.append ?? []) {
      this.block(Math.floor((n - 1) / blockLines))[(n - 1) % blockLines] = l;
      n++;
    }
    this.changed("grown");
  }

  /** Returns the whole of one line. @param {number} n */
  async whole(n) {
    const answer = await fetch(this.url("lines", { from: n, count: 1, rev: this.index.rev }), { credentials: "same-origin" });
    const line = answer.ok ? (await answer.json()).lines[0] : undefined;
    if (line) {
      this.block(Math.floor((n - 1) / blockLines))[(n - 1) % blockLines] = line;
      this.changed("lines");
    }
  }

  /** Returns lines as text, all of them. @param {number} from @param {number} to */
  async text(from, to) {
    const answer = await fetch(this.url("lines", { from, count: to - from + 1, plain: 1 }), { credentials: "same-origin" });
    if (!answer.ok) throw new Error("The lines cannot be read just now.");
    return answer.text();
  }

  /** Listens to what becomes of a running log. */
  follow() {
    const source = new EventSource(this.url("stream", { from: this.index.lines, rev: this.index.rev || "-" }));
    source.addEventListener("append", (e) => this.apply(JSON.parse(e.data)));
    source.addEventListener("final", () => {
      source.close();
      this.index.complete = true;
      this.changed("final");
    });
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) setTimeout(() => this.index.complete || this.follow(), 3000);
    });
  }
}
