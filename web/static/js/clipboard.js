// Copying, also where the browser's newer way is not allowed because the connection is not encrypted.

/** @param {string} text */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "vh";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** Buttons that copy what stands behind them. */
export function watchCopies() {
  document.addEventListener("click", async (e) => {
    const button = e.target instanceof Element ? e.target.closest("[data-markdown]") : null;
    if (!(button instanceof HTMLElement)) return;
    e.preventDefault();
    const text = button.parentElement?.querySelector("pre")?.textContent ?? "";
    const label = button.lastChild;
    if (!label || !(await copy(text))) return;
    label.textContent = "Copied";
    setTimeout(() => { label.textContent = "Copy as Markdown"; }, 2000);
  });
}
