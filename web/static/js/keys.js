// Single keys. What a key does stands in the page: an element with data-key is clicked, or focused when it is a field.
// Nothing happens while somebody types, or when the keys are switched off in the account menu.

const goTo = { h: "/", p: "/projects", a: "/agents", q: "/activity" };
let went = 0; // when g was pressed

/** @param {EventTarget | null} el */
const typing = (el) => el instanceof HTMLElement && (el.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(el.tagName));

export function watchKeys() {
  const dialog = /** @type {HTMLDialogElement | null} */ (document.getElementById("keys"));
  document.querySelector("[data-keys]")?.addEventListener("click", () => dialog?.showModal());
  document.addEventListener("click", (e) => {
    if (e.target instanceof Element && e.target.closest("[data-safe]")) leave(e.target);
  });
  addEventListener("keydown", (e) => {
    if (e.key.toLowerCase() === "k" && (e.ctrlKey || e.metaKey) && press("/")) {
      e.preventDefault();
      return;
    }
    if (e.ctrlKey || e.metaKey || e.altKey || typing(e.target) || document.documentElement.dataset.keys === "off") return;
    if (document.querySelector("dialog[open]")) return;
    if (key(e.key, dialog)) e.preventDefault();
  });
}

/** @param {string} k @param {HTMLDialogElement | null} dialog */
function key(k, dialog) {
  const to = went && Date.now() - went < 1500 ? goTo[/** @type {keyof typeof goTo} */ (k)] : undefined;
  went = 0;
  if (to) {
    location.assign(to);
    return true;
  }
  switch (k) {
    case "g":
      went = Date.now();
      return true;
    case "?":
      dialog?.showModal();
      return true;
    case "j":
    case "k":
      return move(k === "j" ? 1 : -1);
    case "Escape":
      return leave();
  }
  return press(k);
}

/** @param {string} k */
function press(k) {
  const el = /** @type {HTMLElement | null} */ (document.querySelector(`[data-key="${CSS.escape(k)}"]`));
  if (!el) return false;
  if (typing(el)) el.focus();
  else {
    el.click();
    // What asks first opens with its safe choice under the finger.
    const ask = el.closest("details.ask");
    if (ask) /** @type {HTMLElement | null} */ (ask.querySelector("[data-safe]"))?.focus();
  }
  return true;
}

/** Moves the focus to the next or previous row of the page. @param {number} by */
function move(by) {
  const rows = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("main [data-row] a, main .wf-t a, main .tbl tbody td.t a")].filter((el) => el.checkVisibility()));
  if (rows.length === 0) return false;
  const at = rows.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  rows[Math.min(rows.length - 1, Math.max(0, at + by))].focus();
  return true;
}

/** Closes what asks something, the one around an element or the first. @param {Element} [within] */
function leave(within) {
  const open = within ? within.closest("details.ask") : document.querySelector("details.ask[open]");
  if (!(open instanceof HTMLDetailsElement)) return false;
  open.open = false;
  open.querySelector("summary")?.focus();
  return true;
}
