// Follows topics: which of them changed, and whether the server can be reached.

/** @typedef {{kind: "changed", topics: string[]} | {kind: "open", again: boolean} | {kind: "lost", at: number} | {kind: "closed"}} News */

const silence = 40_000; // the server says something every 15 seconds
const firstWord = 10_000; // a proxy that passes nothing on until then holds streams up

/**
 * Follows topics until the returned function is called.
 * @param {string} topics with commas between
 * @param {(news: News) => void} tell
 */
export function follow(topics, tell) {
  const address = `/ui/events?topics=${encodeURIComponent(topics)}`;
  /** @type {EventSource | undefined} */
  let source;
  let heard = 0; // whether anything ever came, and when
  let lostAt = 0;
  let pause = 1000;
  let over = false;
  let timer = 0;
  let polls = false;

  const word = () => {
    if (!heard || lostAt) tell({ kind: "open", again: heard > 0 });
    heard = Date.now();
    lostAt = 0;
    pause = 1000;
    watch(silence);
  };
  const lost = () => {
    if (!lostAt) {
      lostAt = Date.now();
      tell({ kind: "lost", at: lostAt });
    }
    source?.close();
    clearTimeout(timer);
    timer = setTimeout(open, pause * (0.5 + Math.random()));
    pause = Math.min(30_000, pause * 2);
  };
  /** @param {number} ms */
  const watch = (ms) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (heard || source?.readyState === EventSource.CONNECTING) lost();
      else poll();
    }, ms);
  };
  const open = () => {
    if (over || polls) return;
    source = new EventSource(address);
    watch(firstWord);
    source.addEventListener("alive", word);
    source.addEventListener("changed", (e) => {
      word();
      tell({ kind: "changed", topics: JSON.parse(e.data).topics });
    });
    source.addEventListener("error", async () => {
      source?.close();
      // A stream that is refused does not say why.
      const answer = await fetch(`${address}&wait=1`, { redirect: "manual" }).catch(() => undefined);
      if (over) return;
      if (answer && (answer.type === "opaqueredirect" || answer.status === 401 || answer.status === 403)) {
        clearTimeout(timer);
        tell({ kind: "closed" });
      } else lost();
    });
  };
  const poll = async () => {
    polls = true;
    source?.close();
    while (!over) {
      try {
        const answer = await fetch(`${address}&wait=25`);
        if (!answer.ok) throw new Error(answer.statusText);
        word();
        clearTimeout(timer);
        tell({ kind: "changed", topics: (await answer.json()).topics });
      } catch {
        if (!lostAt) tell({ kind: "lost", at: (lostAt = Date.now()) });
        await new Promise((done) => setTimeout(done, pause));
        pause = Math.min(30_000, pause * 2);
      }
    }
  };
  open();
  return () => {
    over = true;
    clearTimeout(timer);
    source?.close();
  };
}

/**
 * Follows a page's topics over the connection that all tabs share, or over one of its own where the browser cannot share one.
 * @param {string[]} topics
 * @param {(news: News) => void} tell
 */
export function listen(topics, tell) {
  const alone = () => follow(topics.join(","), tell);
  if (!("SharedWorker" in globalThis)) {
    alone();
    return;
  }
  const worker = new SharedWorker(new URL("./events-worker.js", import.meta.url), { type: "module", name: "signalbox events" });
  worker.port.onmessage = (m) => tell(m.data);
  worker.onerror = alone;
  worker.port.postMessage(topics);
  addEventListener("pagehide", () => worker.port.postMessage("bye"));
  addEventListener("pageshow", (e) => {
    if (!e.persisted) return;
    worker.port.postMessage(topics);
  });
}
