// Fetches the page again and swaps the parts marked data-live, keeping what the reader has opened.

let busy = false;
let again = false;

export async function refresh() {
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, credentials: "same-origin" });
    if (answer.redirected || answer.status === 401) {
      tell("Your session has ended. Reload to sign in.");
      return;
    }
    if (answer.ok) swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    // The stream of events tells when the server is back.
  } finally {
    busy = false;
    if (again) {
      again = false;
      setTimeout(refresh, 250);
    }
  }
}

/** Tells whether something that the page shows has changed since it was made, or may have. */
export async function stale() {
  const { topics, moment } = document.body.dataset;
  try {
    const answer = await fetch(`/ui/changed?topics=${encodeURIComponent((topics ?? "").split(" ").join(","))}&since=${encodeURIComponent(moment ?? "")}`);
    return !answer.ok || answer.redirected || (await answer.json()).changed;
  } catch {
    return true;
  }
}

/** Says something above the page, nothing when text is "". @param {string} text */
export function tell(text) {
  const banner = document.getElementById("banner");
  if (!banner) return;
  banner.textContent = text;
  banner.hidden = text === "";
}

/** @param {Document} fresh */
function swap(fresh) {
  // A new attempt or a log that has begun is another page.
  const attempt = (/** @type {Document} */ d) => d.getElementById("log")?.dataset.attempt;
  if (attempt(fresh) && attempt(fresh) !== attempt(document)) {
    location.reload();
    return;
  }
  document.title = fresh.title;
  document.body.dataset.moment = fresh.body.dataset.moment ?? "";
  const icon = document.querySelector('link[rel="icon"]');
  const freshIcon = fresh.querySelector('link[rel="icon"]');
  if (icon && freshIcon && icon.getAttribute("href") !== freshIcon.getAttribute("href")) icon.replaceWith(document.importNode(freshIcon, true));
  for (const part of document.querySelectorAll("[data-live]")) {
    const other = fresh.getElementById(part.id);
    if (other && other.outerHTML !== part.outerHTML) replace(part, document.importNode(other, true));
  }
}

/** @param {Element} old @param {Element} next */
function replace(old, next) {
  const open = new Map([...old.querySelectorAll("details")].map((d) => [foldName(d), d.open]));
  for (const d of next.querySelectorAll("details")) d.open = open.get(foldName(d)) ?? d.open;
  const typing = carry(old, next);
  for (const list of next.querySelectorAll("[data-hold]")) {
    const was = old.querySelector(`#${list.id}`);
    if (was) holdRows(/** @type {HTMLElement} */ (was), /** @type {HTMLElement} */ (list));
  }
  const graph = old.querySelector(".graph");
  const at = graph ? [graph.scrollLeft, graph.scrollTop] : null;
  const focus = old.contains(document.activeElement) ? document.activeElement : null;
  const href = focus?.getAttribute("href");
  // A checklist that has opened by itself stays as it is.
  next.querySelectorAll("details[data-open-at]").forEach((d) => {
    if (d.id && old.querySelector(`#${d.id}:not([data-open-at])`)) d.removeAttribute("data-open-at");
  });
  old.replaceWith(next);
  document.dispatchEvent(new CustomEvent("swapped"));
  const nextGraph = next.querySelector(".graph");
  if (at && nextGraph) [nextGraph.scrollLeft, nextGraph.scrollTop] = at;
  if (href) {
    // Links of a drawing are no HTML elements.
    const links = /** @type {(HTMLElement | SVGElement)[]} */ ([...next.querySelectorAll("a")]);
    links.find((a) => a.getAttribute("href") === href)?.focus({ preventScroll: true });
  }
  typing?.();
}

/**
 * Keeps the rows of a list where they are while somebody is at them: the pointer or the cursor is in the list, or its beginning is scrolled
 * away. New ones wait behind a line that counts them, and as many as they would have pushed off the end stay. The rows that are there
 * already say what holds now.
 * @param {HTMLElement} was @param {HTMLElement} list
 */
function holdRows(was, list) {
  const held = was.previousElementSibling?.classList.contains("newpill");
  if (!held && !was.matches(":hover") && !was.contains(document.activeElement) && was.getBoundingClientRect().top >= 0) return;
  const rows = (/** @type {HTMLElement} */ l) => /** @type {HTMLElement[]} */ ([...l.querySelectorAll(":scope > [data-id]")]);
  const name = (/** @type {HTMLElement} */ row) => row.dataset.id;
  const had = new Set(rows(was).map(name));
  const now = rows(list);
  const known = now.findIndex((row) => had.has(name(row)));
  const fresh = known < 0 ? now : now.slice(0, known);
  const more = "more" in list.dataset; // the list goes on behind its last row
  if (fresh.length === 0 || (known < 0 && !more)) return;
  const kept = new Set(now.slice(fresh.length).map(name));
  for (const row of fresh) row.remove();
  const old = rows(was);
  const end = old.map((row) => kept.has(name(row))).lastIndexOf(true) + 1;
  if (more) list.append(...old.slice(end, end + (known < 0 ? old.length : fresh.length)).map((row) => row.cloneNode(true)));
  const pill = document.createElement("a");
  pill.className = "newpill";
  pill.href = list.dataset.hold ?? "";
  pill.textContent = fresh.length === 1 ? "1 new workflow" : `${fresh.length}${known < 0 ? " or more" : ""} new workflows`;
  list.before(pill);
}

/** What a fold is about: rows come and go, and an open question must stay with what it asks about. @param {Element} d */
function foldName(d) {
  return d.id || (d.querySelector("form")?.getAttribute("action") ?? "") + (d.querySelector("summary")?.textContent ?? "");
}

/** @typedef {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} Field */

/** @param {Element} part @returns {Map<string, Field>} */
function fields(part) {
  const all = new Map();
  for (const el of /** @type {NodeListOf<Field>} */ (part.querySelectorAll("input[name], select[name], textarea[name]"))) {
    if (el.type === "hidden") continue;
    const choice = el.type === "checkbox" || el.type === "radio" ? el.value : "";
    // A form around the part is around both of them once they are in the page, but not yet: only one within tells fields apart.
    const form = el.closest("form");
    const name = [form && part.contains(form) ? form.getAttribute("action") : "", el.name, choice].join(" ");
    all.set(all.has(name) ? `${name} ${all.size}` : name, el);
  }
  return all;
}

/**
 * Keeps what somebody has filled in but not sent. Returns what puts the cursor back, if it was in a field.
 * @param {Element} old @param {Element} next @returns {(() => void) | undefined}
 */
function carry(old, next) {
  const fresh = fields(next);
  let back;
  for (const [name, was] of fields(old)) {
    const now = fresh.get(name);
    if (!now || now.type !== was.type) continue;
    if (was instanceof HTMLInputElement && now instanceof HTMLInputElement && (was.type === "checkbox" || was.type === "radio")) {
      if (was.checked !== was.defaultChecked) now.checked = was.checked;
    } else if (was instanceof HTMLSelectElement || was.value !== was.defaultValue) now.value = was.value;
    if (was !== document.activeElement) continue;
    const at = was instanceof HTMLSelectElement ? null : was.selectionStart;
    back = () => {
      now.focus({ preventScroll: true });
      if (at !== null && !(now instanceof HTMLSelectElement)) now.setSelectionRange(at, /** @type {HTMLInputElement} */ (was).selectionEnd);
    };
  }
  return back;
}
