// One connection for all tabs of a browser: a shared worker that follows the topics of every page and tells each page
// which of its own have changed.
import { follow } from "./events.js";

/** @typedef {{topics: string[], told: boolean}} Page told: whether it was told that its topics are followed */
/** @type {Map<MessagePort, Page>} */
const pages = new Map();
/** @type {(() => void) | undefined} */
let stop;
let followed = "";
let open = ""; // the topics of the connection that works
let later = 0;

function again() {
  clearTimeout(later);
  later = setTimeout(() => {
    const topics = [...new Set([...pages.values()].flatMap((p) => p.topics))].sort().slice(0, 400).join(",");
    if (topics === followed) {
      if (open === topics) welcome(false);
      return;
    }
    followed = topics;
    const old = stop;
    if (!topics) {
      old?.();
      stop = undefined;
      open = "";
      return;
    }
    // The old connection lasts until the new one works: nothing is missed between them.
    let begun = false;
    const end = follow(topics, (news) => {
      if (news.kind === "open" || news.kind === "closed") {
        if (!begun) old?.();
        begun = true;
      }
      tell(news, topics);
    });
    stop = () => {
      end();
      if (!begun) old?.();
    };
  }, 30);
}

/** @param {import("./events.js").News} news @param {string} topics */
function tell(news, topics) {
  if (news.kind === "open") {
    open = topics;
    welcome(news.again);
    return;
  }
  for (const [port, page] of pages) {
    if (news.kind !== "changed" || news.topics.some((t) => page.topics.includes(t))) port.postMessage(news);
  }
}

/** Tells pages that their topics are followed: all of them again, or those that do not know yet. @param {boolean} again */
function welcome(again) {
  for (const [port, page] of pages) {
    if (page.told && !again) continue;
    page.told = true;
    port.postMessage({ kind: "open", again });
  }
}

addEventListener("connect", (e) => {
  const port = /** @type {MessageEvent} */ (e).ports[0];
  port.onmessage = (m) => {
    if (m.data === "bye") pages.delete(port);
    else pages.set(port, { topics: m.data, told: false });
    again();
  };
});
