// The log of a job: lines that arrive, links to lines, following the end. Text from the log only ever becomes
// textContent, and classes come from the server's own list.

/** @typedef {{t: string, c?: string}} Run */
/** @typedef {{n?: number, r?: Run[], s?: number, x?: string}} LogLine */
/** @typedef {{n: number, text: string, class: string, word: string, took: string, since?: number, exit?: number, running: boolean}} Command */

const known = /^(more|term-(fg|bg)[ix]?\d{1,3})$/;
const state = /^[a-z]+$/;
const mostLines = 5000; // of one command in the page
const svg = "http://www.w3.org/2000/svg";

/**
 * @param {string} name @param {string} className @param {string} [text]
 * @returns {HTMLElement}
 */
function make(name, className, text) {
  const el = document.createElement(name);
  if (className) el.className = className;
  if (text !== undefined) el.textContent = text;
  return el;
}

/** @param {string} name @param {string} className @param {string} [label] */
function glyph(name, className, label) {
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

export function watchLog() {
  const log = document.getElementById("log");
  const commands = document.getElementById("commands");
  if (!log || !commands) return;
  expandButton(log);
  if (!("log" in log.dataset)) return;

  const button = /** @type {HTMLElement | null} */ (log.querySelector("[data-follow]"));
  const follow = document.getElementById("follow");
  let following = false;
  const say = () => {
    if (button) button.hidden = following;
    if (follow) follow.textContent = following ? "Following" : "";
  };
  const jump = () => log.scrollIntoView({ block: "end" });
  button?.addEventListener("click", () => {
    following = true;
    say();
    jump();
  });
  // Scrolling up means reading: stay there until asked otherwise.
  addEventListener("wheel", (e) => {
    if (e.deltaY < 0 && following) {
      following = false;
      say();
    }
  }, { passive: true });
  say();

  document.addEventListener("log", (e) => {
    const push = /** @type {CustomEvent<{commands?: Command[], lines?: LogLine[], total: string}>} */ (e).detail;
    document.getElementById("nothing")?.remove();
    // Heads and lines are in the order of their numbers, so a line belongs to the last command before it.
    for (const c of push.commands ?? []) head(commands, c);
    for (const l of push.lines ?? []) line(commands, l);
    const total = document.getElementById("total");
    if (total) total.textContent = push.total;
    if (following) jump();
  });
  document.addEventListener("log-end", () => {
    if (button) button.hidden = true;
    if (follow) follow.textContent = "";
  });
}

/** @param {HTMLElement} log */
function expandButton(log) {
  const button = /** @type {HTMLElement | null} */ (log.querySelector("[data-expand]"));
  if (!button) return;
  button.hidden = false;
  button.addEventListener("click", () => {
    const all = [...log.querySelectorAll("details.cmd")];
    const open = all.some((d) => !(/** @type {HTMLDetailsElement} */ (d).open));
    for (const d of all) /** @type {HTMLDetailsElement} */ (d).open = open;
    button.textContent = open ? "Collapse all" : "Expand all";
  });
}

/** @param {HTMLElement} commands @param {Command} c */
function head(commands, c) {
  if (!state.test(c.class)) return;
  let fold = /** @type {HTMLDetailsElement | null} */ (document.getElementById(`C${c.n}`));
  if (!fold) {
    fold = /** @type {HTMLDetailsElement} */ (make("details", "cmd"));
    fold.id = `C${c.n}`;
    fold.open = c.running;
    const summary = make("summary", "");
    summary.id = `L${c.n}`;
    const name = make("span", "nm");
    name.append(glyph("chev", "ico"), make("code", "", c.text));
    summary.append(make("span", "no", String(c.n)), glyph(c.class, `ico lamp is-${c.class}`, c.word), name, make("span", "du"));
    fold.append(summary, make("div", "lines"));
    commands.append(fold);
  }
  fold.querySelector("summary > .lamp")?.replaceWith(glyph(c.class, `ico lamp is-${c.class}`, c.word));
  const end = fold.querySelector(".du");
  if (!end) return;
  const took = make("span", "", c.took);
  if (c.since) took.dataset.since = String(c.since);
  end.replaceChildren(took);
  if (c.exit) end.prepend(make("span", "st is-failed", `exit ${c.exit}`), " ");
  // What has passed stays as the reader left it, except that nobody has to close what went well.
  if (!c.running && !c.exit && !fold.contains(document.activeElement) && fold.nextElementSibling === null) fold.open = true;
}

/** @param {HTMLElement} commands @param {LogLine} l */
function line(commands, l) {
  const folds = commands.querySelectorAll("details.cmd");
  let into = folds[folds.length - 1];
  for (let i = folds.length - 1; l.n && i >= 0; i--) {
    into = folds[i];
    if (Number(into.id.slice(1)) < l.n) break;
  }
  const lines = into?.querySelector(".lines");
  if (!lines) return;
  if (l.x) {
    lines.append(gap(l.x, "gap lost"));
    return;
  }
  const row = make("div", "ln");
  row.id = `L${l.n}`;
  const number = /** @type {HTMLAnchorElement} */ (make("a", "no", String(l.n)));
  number.href = `#L${l.n}`;
  const text = make("span", "tx");
  for (const r of l.r ?? []) {
    const classes = (r.c ?? "").split(" ").filter((c) => known.test(c));
    text.append(classes.length ? make("span", classes.join(" "), r.t) : r.t);
  }
  row.append(number, text);
  const old = document.getElementById(row.id);
  if (old) {
    old.replaceWith(row);
    return;
  }
  if (l.s) lines.append(gap(`${l.s} s without output`, "gap"));
  lines.append(row);
  if (lines.childElementCount > mostLines + 500) {
    while (lines.childElementCount > mostLines) lines.firstElementChild?.remove();
    lines.prepend(gap("Earlier lines of this command left the page. Reload shows the first ones again.", "gap"));
  }
}

/** @param {string} text @param {string} className */
function gap(text, className) {
  const el = make("div", className);
  el.append(make("span", ""), make("span", "", text));
  return el;
}

/** Marks the line or lines that the address names, #L10 or #L10-L20, and opens their fold. */
export function showTarget() {
  for (const el of document.querySelectorAll(".ln.on")) el.classList.remove("on");
  const m = /^#L(\d{1,12})(?:-L(\d{1,12}))?$/.exec(location.hash);
  if (!m || !document.getElementById("log")) return;
  const first = Number(m[1]);
  const last = Math.min(Number(m[2] ?? first), first + 2000);
  const target = document.getElementById(`L${first}`);
  if (!target) {
    // It is not on this page; the server knows how to show it. Ask once only.
    const url = new URL(location.href);
    if (url.searchParams.get("line") === m[1]) return;
    url.searchParams.set("line", m[1]);
    location.replace(url);
    return;
  }
  const fold = target.closest("details");
  if (fold) fold.open = true;
  for (let n = first; n <= last; n++) document.getElementById(`L${n}`)?.classList.add("on");
  target.scrollIntoView({ block: "center" });
}
