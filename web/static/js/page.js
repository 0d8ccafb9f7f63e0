// What keeps an open page fresh and answers to keys. Without it every page still says what held when it was loaded.
import { tick } from "./time.js";
import { refresh, tell } from "./refresh.js";
import { copyButtons } from "./copy.js";
import { showTarget, watchLog } from "./log.js";
import { listen } from "./events.js";
import { watchKeys } from "./keys.js";
import { watchJump } from "./jump.js";

document.documentElement.classList.add("has-script");
let last = Date.now();
setInterval(() => {
  tick();
  // The machine slept: what the page says is as old as its sleep.
  if (Date.now() - last > 30_000) soon();
  last = Date.now();
}, 1000);
showTarget();
addEventListener("hashchange", showTarget);
watchLog();
watchKeys();
watchJump();
copyButtons();
document.addEventListener("swapped", copyButtons);

let asked = 0;

/** Loads the page again, at most four times a second, and in a tab that nobody sees every ten seconds. */
function soon() {
  if (asked) return;
  asked = setTimeout(() => {
    asked = 0;
    refresh();
  }, document.hidden ? 10_000 : 0);
}
addEventListener("visibilitychange", () => {
  if (document.hidden || !asked) return;
  clearTimeout(asked);
  asked = 0;
  refresh();
});

const topics = document.body.dataset.topics;
let banner = 0;
if (topics) {
  listen(topics.split(" "), (news) => {
    switch (news.kind) {
      case "changed":
        soon();
        break;
      case "lost":
        clearTimeout(banner);
        banner = setTimeout(lost, 3000, news.at);
        break;
      case "open": // something may have changed since the page was made
        back();
        soon();
        break;
      case "closed":
        tell("Your session has ended. Reload to sign in.");
    }
  });
}

/** @param {number} at */
function lost(at) {
  document.documentElement.dataset.stale = "";
  tell(`Connection lost. What you see is from ${new Date(at).toLocaleTimeString()}. Trying again.`);
}

function back() {
  clearTimeout(banner);
  delete document.documentElement.dataset.stale;
  tell("");
}

const address = document.body.dataset.stream;
if (address) stream(address);

/**
 * Listens to the events of one page's own stream. The browser itself connects again after a short break; a longer one is told.
 * @param {string} address
 */
function stream(address) {
  const source = new EventSource(address);
  source.addEventListener("open", back);
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(() => stream(address), 5000);
    clearTimeout(banner);
    banner = setTimeout(lost, 4000, Date.now());
  });
  source.addEventListener("changed", soon);
  source.addEventListener("log", (e) => document.dispatchEvent(new CustomEvent("log", { detail: JSON.parse(e.data) })));
  source.addEventListener("end", () => document.dispatchEvent(new CustomEvent("log-end")));
}
