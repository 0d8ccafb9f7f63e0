// What keeps an open page fresh and answers to keys. Without it every page still says what held when it was loaded.
import { tick } from "./time.js";
import { refresh, tell } from "./refresh.js";
import { copyButtons } from "./copy.js";
import { watchLog } from "./log.js";
import { watchCopies } from "./clipboard.js";
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
watchLog();
watchCopies();
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
