/** A broadcast to any number of users: as many requests as the server's limit makes of it, all under one id. */
import { job, Refused } from "./api.js";

/** Users in one request: how often the progress moves where the server tells none. */
const AT_ONCE = 500;
/** Attempts at one request while the server says that it is busy. */
const PATIENCE = 8;

const pause = (seconds) => new Promise((resolve) => { setTimeout(resolve, seconds * 1000); });

/** How many had their turn: each is in one of these. */
const tried = (counts) => counts.created + counts.delivered + counts.reopened + counts.failed;

/**
 * Yields `{done, total}` on the way and at last `{result}`: created, delivered, reopened, and `failed`, a list.
 *
 * What is too large for one request (413) is halved; a server that is busy or restarting is asked again. Whoever was
 * reached is not reached twice under the same `id`, so all of it may be asked for anew. Throws `Refused`.
 */
export async function* broadcast(users, said, id) {
  const result = { created: 0, delivered: 0, reopened: 0, failed: [] };
  let atOnce = AT_ONCE;
  for (let first = 0; first < users.length;) {
    const piece = users.slice(first, first + atOnce);
    try {
      for await (const { type, data } of patiently(() => job("/v1/broadcasts", { ...said, users: piece, broadcast_id: id }))) {
        if (type === "progress") yield { done: first + tried(data), total: users.length };
        else {
          for (const key of ["created", "delivered", "reopened"]) result[key] += data[key];
          result.failed.push(...data.failed);
        }
      }
    } catch (error) {
      if (error.status !== 413 || piece.length === 1) throw error;
      atOnce = Math.ceil(piece.length / 2);
      continue;
    }
    first += piece.length;
    yield { done: first, total: users.length };
  }
  yield { result };
}

/** The events of a job that is begun anew where the server is busy (429), goes away (503) or is not there for a moment. */
async function* patiently(begin) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      for await (const event of begin()) {
        if (event.type === "error") throw Refused.of(event.data);
        yield event;
      }
      return;
    } catch (error) {
      if (!error.passing || attempt === PATIENCE) throw error;
      await pause(error.retryAfter ?? Math.min(5, 0.2 * 2 ** attempt));
    }
  }
}
