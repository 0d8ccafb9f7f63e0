// The form of a task: what a cron expression means, while it is typed. Without it the form's Check button says so.
import { tick } from "./time.js";

export function watchTask() {
  const form = document.getElementById("task-form");
  const at = /** @type {HTMLInputElement | null} */ (document.getElementById("at"));
  const zone = /** @type {HTMLInputElement | null} */ (document.getElementById("zone"));
  if (!form || !at || !zone) return;
  let timer = 0;
  let asked = 0;
  for (const field of [at, zone]) {
    field.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(ask, 250);
    });
  }

  async function ask() {
    const n = ++asked;
    const old = document.getElementById("preview");
    const text = at?.value.trim() ?? "";
    if (!text) {
      old?.replaceChildren();
      return;
    }
    const query = new URLSearchParams({ at: text, time_zone: zone?.value.trim() ?? "" });
    const answer = await fetch(`${form?.dataset.expression}?${query}`).catch(() => undefined);
    if (!answer?.ok || n !== asked) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("preview");
    // The region itself stays, so that what is new in it is read out.
    if (fresh) old?.replaceChildren(...[...fresh.childNodes].map((c) => document.importNode(c, true)));
    tick();
  }
}
