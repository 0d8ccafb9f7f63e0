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
  const open = [...old.querySelectorAll("details")].map((d) => d.open);
  next.querySelectorAll("details").forEach((d, i) => {
    if (open[i] !== undefined) d.open = open[i];
  });
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
}
