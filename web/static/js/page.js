// What keeps an open page fresh. Without it every page still says what held when it was loaded.
import { tick } from "./time.js";
import { refresh } from "./refresh.js";
import { showTarget, watchLog } from "./log.js";

setInterval(tick, 1000);
showTarget();
addEventListener("hashchange", showTarget);
watchLog();

const address = document.body.dataset.stream;
if (address) listen(address);

/**
 * Listens to the server's events. The browser itself connects again after a short break; a longer one is told.
 * @param {string} address
 */
function listen(address) {
  const banner = document.getElementById("banner");
  const source = new EventSource(address);
  let lost = 0;
  source.addEventListener("open", () => {
    clearTimeout(lost);
    lost = 0;
    if (banner) banner.hidden = true;
  });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(() => listen(address), 5000);
    if (lost) return;
    const since = new Date().toLocaleTimeString();
    lost = setTimeout(() => {
      if (!banner) return;
      banner.textContent = `Connection lost. What you see is from ${since}. Trying again.`;
      banner.hidden = false;
    }, 4000);
  });
  source.addEventListener("changed", () => refresh());
  source.addEventListener("log", (e) => document.dispatchEvent(new CustomEvent("log", { detail: JSON.parse(e.data) })));
  source.addEventListener("end", () => document.dispatchEvent(new CustomEvent("log-end")));
}
