/** The server's clock, as this page knows it: a browser's own may be wrong by hours. */
import { useEffect, useState } from "./dom.js";

let ahead = 0;
let tightest = Infinity;

/** The server's Unix time, in seconds. */
export const now = () => Date.now() / 1000 + ahead;

/** Learn from an answer: it named `serverTime`, was asked for at `sent` and came at `received` (ms of this machine). */
export function learn(serverTime, sent, received) {
  if (typeof serverTime !== "number" || received - sent > tightest) return;
  tightest = received - sent;
  ahead = serverTime - (sent + received) / 2000;
}

/** Draw the component again at each whole second before or after `at`; without `at`, each second. */
export function useTicks(at = 0) {
  const [, draw] = useState(0);
  useEffect(() => {
    if (at === null) return undefined;
    let timer = 0;
    const wait = () => {
      // A few milliseconds behind the second, so that rounding falls on the right side of it.
      const left = ((((at - now()) % 1) + 1) % 1) * 1000;
      timer = setTimeout(() => {
        draw((n) => n + 1);
        wait();
      }, left < 2 ? left + 1000 : left + 2);
    };
    wait();
    return () => clearTimeout(timer);
  }, [at]);
  return now();
}
