// The jump-to box: results while typing. Without it the box leads to a page with the same results.

export function watchJump() {
  const field = /** @type {HTMLInputElement | null} */ (document.getElementById("jump"));
  const list = document.getElementById("jump-list");
  if (!field || !list) return;
  let timer = 0;
  let asked = 0;
  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, 120);
  });
  field.addEventListener("keydown", (e) => {
    const links = [...list.querySelectorAll("a")];
    const at = links.findIndex((a) => a.classList.contains("on"));
    if (e.key === "Escape") {
      close();
      field.blur();
    } else if ((e.key === "ArrowDown" || e.key === "ArrowUp") && links.length > 0) {
      e.preventDefault();
      const next = (at + (e.key === "ArrowDown" ? 1 : -1) + links.length) % links.length;
      choose(links, next);
    }
  });
  field.form?.addEventListener("submit", (e) => {
    const chosen = /** @type {HTMLElement | null} */ (list.hidden ? null : list.querySelector("a.on"));
    if (!chosen) return;
    e.preventDefault();
    chosen.click();
  });
  document.addEventListener("click", (e) => {
    if (!(e.target instanceof Node) || !field.closest("form")?.contains(e.target)) close();
  });

  async function ask() {
    const n = ++asked;
    const text = field?.value.trim();
    if (!text) {
      close();
      return;
    }
    const answer = await fetch(`/search?part=list&q=${encodeURIComponent(text)}`).catch(() => undefined);
    if (!answer?.ok || n !== asked) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("ul");
    list?.replaceChildren(...(fresh ? [document.importNode(fresh, true)] : []));
    show(true);
    choose([...(list?.querySelectorAll("a") ?? [])], 0);
  }
  /** @param {HTMLElement[]} links @param {number} at */
  function choose(links, at) {
    links.forEach((a, i) => {
      a.classList.toggle("on", i === at);
      a.id = `jump-${i}`;
    });
    if (links[at]) field?.setAttribute("aria-activedescendant", `jump-${at}`);
    else field?.removeAttribute("aria-activedescendant");
  }
  /** @param {boolean} on */
  function show(on) {
    if (list) list.hidden = !on;
    field?.setAttribute("aria-expanded", String(on));
  }
  function close() {
    asked++;
    show(false);
  }
}
