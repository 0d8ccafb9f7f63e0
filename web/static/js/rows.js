// The form of a deployment target: another row without sending the form, so that values that were typed stay. Without it the server adds the
// row, and values have to be typed again.

export function watchRows() {
  const form = document.getElementById("target-form");
  form?.addEventListener("click", (e) => {
    const button = e.target instanceof Element ? e.target.closest("button[data-rows]") : null;
    if (!(button instanceof HTMLElement)) return;
    const kind = button.dataset.rows;
    const count = form.querySelector(`input[type="hidden"][name="${kind}"]`);
    const last = [...form.querySelectorAll(`fieldset[data-row="${kind}"]`)].at(-1);
    if (!(count instanceof HTMLInputElement) || !last) return;
    e.preventDefault();
    const n = Number(count.value);
    const row = /** @type {Element} */ (last.cloneNode(true));
    blank(row, n);
    last.after(row);
    count.value = String(n + 1);
    const first = row.querySelector("input:not([type=hidden]), select");
    if (first instanceof HTMLElement) first.focus();
  });
}

/**
 * Makes a copy of a row an empty one with another number.
 * @param {Element} row
 * @param {number} n
 */
function blank(row, n) {
  for (const el of row.querySelectorAll("*")) {
    for (const name of ["name", "id", "for", "aria-describedby"]) {
      const was = el.getAttribute(name);
      if (was) el.setAttribute(name, was.replace(/\b(variable|file|ref)([.-])\d+(?=[.-])/g, `$1$2${n}`));
    }
    el.removeAttribute("aria-invalid");
    el.removeAttribute("autofocus");
    if (el instanceof HTMLInputElement || el instanceof HTMLTextAreaElement) el.value = "";
  }
  row.querySelector(".target-problem")?.replaceChildren();
  const legend = row.querySelector("legend");
  if (legend?.textContent) legend.textContent = legend.textContent.replace(/\d+/, String(n + 1));
}
