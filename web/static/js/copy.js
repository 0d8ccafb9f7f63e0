// Buttons that copy the text of the code block that they stand in. Where a secret is masked, data-text holds the whole.

export function copyButtons() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    if (button instanceof HTMLButtonElement && "clipboard" in navigator) button.hidden = false;
  }
}

document.addEventListener("click", async (e) => {
  const button = e.target instanceof Element ? e.target.closest("[data-copy]") : null;
  const pre = button?.closest(".code")?.querySelector("pre");
  const word = button?.querySelector("span");
  if (!button || !pre || !word) return;
  try {
    await navigator.clipboard.writeText(pre.dataset.text ?? pre.textContent ?? "");
    word.textContent = "Copied";
  } catch {
    word.textContent = "Not possible here";
  }
  setTimeout(() => { word.textContent = "Copy"; }, 2000);
});
