/** Requests to the server that this page came from, and streams of its events. */
import { learn } from "./clock.js";
import { useCallback, useEffect, useState } from "./dom.js";

const ROLE = { "Sojourn-Role": "service", "Sojourn-Identity": "dashboard" };

/** Statuses that pass by themselves: nobody answers, too much at once, not now. */
const PASSING = new Set([0, 429, 502, 503, 504]);
const PASSING_CODES = new Set(["overloaded", "rate_limited", "draining", "storage_failed"]);

/** What went wrong: `code` for programs, `message` for people, `status` 0 where no answer came, `retryAfter` seconds. */
export class Refused extends Error {
  constructor(status, code, message, details = null, retryAfter = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
    this.retryAfter = retryAfter;
  }

  /** As the wire says it, where there is no status. */
  static of(error) {
    return new Refused(null, String(error?.code ?? "error"), String(error?.message ?? "The server gave no reason."),
                       error?.details, error?.retry_after);
  }

  /** It may be otherwise in a moment: to be asked again. */
  get passing() {
    return PASSING.has(this.status) || (this.status === null && PASSING_CODES.has(this.code));
  }
}

const UNREACHABLE = "The server does not answer. It may be stopped or restarting; this page tries again by itself.";

/** `path` with those of the parameters that have a value. */
export function withQuery(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== "") query.set(key, String(value));
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

/** Ask, and give the JSON that was answered; throws `Refused`. */
export async function request(method, path, { body, headers = {}, signal } = {}) {
  const asked = Date.now();
  const response = await reach(method, path, { body, headers, signal });
  const answer = await readJson(response);
  if (!response.ok) throw refusal(response, answer);
  learn(answer?.at, asked, Date.now());
  return answer;
}

export const get = (path, parameters, options) => request("GET", withQuery(path, parameters), options);
export const post = (path, body = {}, options = {}) => request("POST", path, { ...options, body });

async function reach(method, path, { body, headers, signal }) {
  const sent = { ...ROLE, ...headers };
  if (body !== undefined) sent["Content-Type"] = "application/json";
  try {
    return await fetch(path, { method, headers: sent, signal, cache: "no-store",
                               body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "unreachable", UNREACHABLE);
  }
}

async function readJson(response) {
  try {
    return await response.json();
  } catch {
    return null;
  }
}

function refusal(response, answer) {
  return new Refused(response.status, String(answer?.code ?? "error"),
                     String(answer?.message ?? `The server answered ${response.status}.`), answer?.details,
                     Number.parseFloat(response.headers.get("Retry-After")) || null);
}

/** The events of one answer of server-sent events, until it ends. */
async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (rest + value.replaceAll("\r", "")).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const event = { type: "message", id: null, data: "" };
        for (const line of block.split("\n")) {
          const colon = line.indexOf(":");
          const field = colon < 0 ? line : line.slice(0, colon);
          const text = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
          if (field === "event") event.type = text;
          else if (field === "id") event.id = text;
          else if (field === "data") event.data += (event.data && "\n") + text;
        }
        yield { ...event, data: event.data ? JSON.parse(event.data) : null };
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Ask for a stream that is a job of its own, such as a broadcast: its events until it ends; throws `Refused`. */
export async function* job(path, body, { headers = {}, signal } = {}) {
  const response = await reach("POST", path, { body, signal, headers: { ...headers, Accept: "text/event-stream" } });
  if (!response.ok) throw refusal(response, await readJson(response));
  if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
    yield { type: "result", id: null, data: await readJson(response) };
    return;
  }
  try {
    for await (const event of eventsOf(response)) if (event.data !== null) yield event;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "unreachable", UNREACHABLE);
  }
}

/**
 * Follow a stream until `stop()`: it is asked for again, behind the last id, whenever it breaks.
 *
 * Written on fetch, since an `EventSource` can neither name a role nor tell why it was refused. While the page is
 * hidden nothing is held open: a browser allows six connections to a server, for all its tabs together.
 *
 * onEvent: `{type, id, data}`. onState: "open", "waiting" (it is being asked for again), "ended" (there will be no more)
 * or the `Refused` that ended it.
 */
export function follow(path, { onEvent, onState = () => {}, lastId = null }) {
  let id = lastId;
  let stopped = false;
  let holding = new AbortController();
  let wake = () => {};
  const pause = (seconds) => new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    wake = () => { clearTimeout(timer); resolve(); };
  });
  const onChange = () => {
    if (document.hidden || !navigator.onLine) holding.abort();
    else wake();
  };
  document.addEventListener("visibilitychange", onChange);
  window.addEventListener("online", onChange);
  window.addEventListener("offline", onChange);

  (async () => {
    for (let attempt = 0; !stopped; attempt += 1) {
      let atLeast = 0;
      if (document.hidden || !navigator.onLine) {
        onState("waiting");
        await pause(3600);
        attempt = -1;
        continue;
      }
      holding = new AbortController();
      try {
        const headers = { Accept: "text/event-stream", ...(id === null ? {} : { "Last-Event-ID": String(id) }) };
        const response = await reach("GET", path, { headers, signal: holding.signal });
        if (!response.ok) throw refusal(response, await readJson(response));
        if (response.status === 204) {
          onState("ended");
          return;
        }
        if (!stopped) onState("open");
        for await (const event of eventsOf(response)) {
          if (stopped) return;
          attempt = 0;
          if (event.id !== null) id = event.id;
          if (event.data !== null) onEvent(event);
        }
      } catch (error) {
        if (!stopped && error instanceof Refused && error.status >= 400 && error.status < 500 && !error.passing) {
          onState(error);
          return;
        }
        atLeast = error.retryAfter ?? 0;
      }
      if (stopped) return;
      onState("waiting");
      await pause(Math.max(atLeast, Math.min(10, 0.3 * 2 ** attempt)) * (1 + 0.5 * Math.random()));
    }
  })();

  return () => {
    stopped = true;
    holding.abort();
    wake();
    document.removeEventListener("visibilitychange", onChange);
    window.removeEventListener("online", onChange);
    window.removeEventListener("offline", onChange);
  };
}

/** What `path` answers: `{data, error, loading, reload}`. Old data stays until new data comes; null asks nothing. */
export function useAnswer(path) {
  const [state, setState] = useState({ path: null, data: null, error: null, loading: path !== null });
  const [round, setRound] = useState(0);
  useEffect(() => {
    if (path === null) return undefined;
    const asking = new AbortController();
    setState((before) => ({ ...before, loading: true }));
    request("GET", path, { signal: asking.signal }).then(
      (data) => setState({ path, data, error: null, loading: false }),
      (error) => {
        if (error.name !== "AbortError") setState({ path, data: null, error, loading: false });
      },
    );
    return () => asking.abort();
  }, [path, round]);
  const reload = useCallback(() => setRound((n) => n + 1), []);
  useEffect(() => {
    if (!state.error?.passing) return undefined;
    const timer = setTimeout(reload, (state.error.retryAfter ?? 2) * 1000);
    return () => clearTimeout(timer);
  }, [state.error]);
  return { ...state, reload };
}
