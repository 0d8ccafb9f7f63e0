// What keeps an open page fresh and answers to keys. Without it every page still says what held when it was loaded.
import { tick } from "./time.js";
import { refresh, stale, tell } from "./refresh.js";
import { copyButtons } from "./copy.js";
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
// Only a job's page has a log; the others need not load what shows one.
if (document.getElementById("log")?.dataset.api) import("./log.js").then((m) => m.watchLog());
if (document.getElementById("task-form")) import("./task.js").then((m) => m.watchTask());
if (document.getElementById("target-form")) import("./rows.js").then((m) => m.watchRows());
watchCopies();
watchKeys();
watchJump();
copyButtons();
document.addEventListener("swapped", copyButtons);
document.addEventListener("swapped", tick);
tick();

let asked = 0;
let due = 0; // when the page is loaded

/**
 * Loads the page again, at most four times a second, and in a tab that nobody sees every ten seconds.
 * @param {number} [wait] how long that may wait for more, in milliseconds
 */
function soon(wait = 0) {
  const at = Date.now() + (document.hidden ? 10_000 : wait);
  if (asked && at >= due) return;
  clearTimeout(asked);
  due = at;
  asked = setTimeout(() => {
    asked = 0;
    refresh();
  }, at - Date.now());
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
        // A line moves with every job of it: its place need not be right at once.
        soon(news.topics.every((t) => t === "queue") ? 2000 : 0);
        break;
      case "lost":
        clearTimeout(banner);
        banner = setTimeout(lost, 3000, news.at);
        break;
      case "open": // something may have changed since the page was made
        back();
        stale().then((is) => { if (is) soon(); });
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
