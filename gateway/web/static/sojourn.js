/**
 * Sojourn in the browser: sessions over WebSocket, JSON messages. One file, an ES module, no build, no dependencies.
 *
 *     import { Client } from "/sojourn.js";
 *     const client = new Client();
 *     const session = await client.create({ user: { user_id: "ada" } });
 *     session.addEventListener("message:received", ({ detail }) => show(detail.author, detail.text));
 *     await session.send("Where is my order?");
 *
 * A lost connection comes back by itself. Every event of a session is told once and in order, those that this page
 * caused too; what was asked and not answered is asked again where that is safe (a message is stored once, however
 * often it is sent). Durations are seconds, instants Unix time in seconds, as on the wire.
 */

/** @typedef {Object<string, any>} Frame a map of the wire: `type` and what belongs to it */
/** @typedef {"idle" | "connecting" | "open" | "waiting" | "ended"} State waiting: until the next attempt */

const READS = new Set([
  "ping", "session:get", "session:history", "session:resume", "session:list", "session:detach", "session:close",
  "session:resolve", "session:why", "message:compose", "message:read", "watch",
]);
const KEYS = {
  "message:send": "message_id", "session:create": "request_key", "session:fork": "request_key",
  "broadcast:send": "broadcast_id",
};
const NOT_DONE = new Set(["rate_limited", "overloaded", "draining", "storage_failed"]);
const ATTACHING = new Set(["session:reopen", "message:send", "session:context:update"]);
const PAGE = 1000;

/** What the server, or a lost connection, refused. `code` is for programs, `message` for people. */
export class SojournError extends Error {
  /** @param {Frame} frame an `error` of the wire */
  constructor(frame) {
    super(frame.message || frame.code);
    this.name = "SojournError";
    /** @type {string} */ this.code = frame.code;
    /** @type {Frame} */ this.details = frame.details || {};
    /** @type {number | undefined} */ this.retryAfter = frame.retry_after;
    /** @type {string | undefined} */ this.sessionId = frame.session_id;
  }
}

/** An id that nobody else makes; `crypto.randomUUID` is missing on pages that came over plain HTTP. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * A connection that comes back. Events: `state` (detail: the new one), `push` (detail: a frame of a session that is not
 * followed here, as `watch` brings them), `goodbye` (detail: that frame).
 */
export class Client extends EventTarget {
  #options;
  #socket = null;
  #pending = new Map();
  #sessions = new Map();
  #nextId = 1;
  #state = "idle";
  #attempts = 0;
  #timer = null;
  #beat = null;
  #goodbye = null;
  #spokeAt = 0;
  #heardAt = 0;
  #watched = null;
  #welcomed = deferred();
  #wake = () => this.#hurry();
  #lose = () => this.#drop("this device is offline");

  /**
   * @param {string | URL} [url] default: `/v1/ws` of this page's server
   * @param {object} [options]
   * @param {"user" | "agent" | "service"} [options.role]
   * @param {string} [options.identity] who acts, in an open server
   * @param {string} [options.token]
   * @param {number | null} [options.heartbeat] seconds; null: none
   * @param {number} [options.firstDelay] seconds before the first new attempt; doubled each time, with jitter
   * @param {number} [options.longestDelay] seconds
   * @param {typeof WebSocket} [options.WebSocket] another implementation
   */
  constructor(url, options = {}) {
    super();
    this.#options = {
      role: undefined, identity: undefined, token: undefined, heartbeat: 30, firstDelay: 0.25, longestDelay: 15,
      WebSocket: globalThis.WebSocket, ...options,
    };
    const at = new URL(url || "/v1/ws", globalThis.location?.href);
    at.protocol = at.protocol.replace("http", "ws");
    this.url = at.href;
  }

  /** @returns {State} */
  get state() {
    return this.#state;
  }

  /** Connect, and stay connected until `end`. @returns {Promise<Frame>} the `welcome`, once there is one */
  connect() {
    if (this.#state === "ended") return Promise.reject(lost("the client was ended"));
    if (this.#state === "idle") {
      globalThis.addEventListener?.("online", this.#wake);
      globalThis.addEventListener?.("offline", this.#lose);
      this.#dial();
    }
    return this.#welcomed.promise;
  }

  /** End for good: what has no answer is rejected with `connection_lost`, iterations over events end. */
  end() {
    this.#stop("the client was ended");
  }

  /**
   * Ask the server; connects when nobody has. Keys that are undefined are left out.
   * @param {string} type
   * @param {Frame} [payload]
   * @returns {Promise<Frame>} the reply; rejects with a SojournError
   */
  request(type, payload = {}) {
    this.connect().catch(() => {});
    if (this.#state === "ended") return Promise.reject(lost("the client was ended"));
    const frame = { type, ...payload, id: this.#nextId++ };
    const key = KEYS[type];
    if (key && frame[key] == null) frame[key] = newId();
    const waiting = { frame, ...deferred(), repeatable: Boolean(key) || READS.has(type), sent: false, refused: 0 };
    this.#pending.set(frame.id, waiting);
    if (this.#state === "open") this.#send(waiting);
    return waiting.promise;
  }

  /**
   * Make a session and follow it.
   * @param {Frame} [payload] `user`, `context`, `channel`, … as `session:create` takes them
   * @returns {Promise<Session>}
   */
  async create(payload = {}) {
    const reply = await this.request("session:create", payload);
    const session = this.session(reply.session_id, { resumeToken: reply.resume_token, seq: 1 });
    session._know(reply.session);
    if (reply.session.seq > 1) session._missing(reply.session.seq);
    return session;
  }

  /**
   * The session with this id. Add listeners, then `resume()` it: it is told what happened behind `seq`, and goes on.
   * @param {string} id
   * @param {{resumeToken?: string, seq?: number}} [known] `seq`: up to where this page has it; 0: tell everything
   * @returns {Session}
   */
  session(id, known = {}) {
    let session = this.#sessions.get(id);
    if (!session) {
      session = new Session(this, id);
      this.#sessions.set(id, session);
    }
    if (known.resumeToken) session.resumeToken = known.resumeToken;
    if (known.seq !== undefined && !session.followed) session.seq = known.seq;
    return session;
  }

  /**
   * Have what happens in these queues pushed (agents and services): `push` events, over every reconnect.
   * @param {string[]} [queues] default: all
   * @returns {Promise<Frame>} who waits now
   */
  watch(queues) {
    this.#watched = { queues };
    return this.request("watch", this.#watched);
  }

  /** A session is over, or left. @param {string} id */
  _forget(id) {
    this.#sessions.delete(id);
  }

  #become(state) {
    if (this.#state === state) return;
    this.#state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }

  #dial() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#become("connecting");
    const socket = new this.#options.WebSocket(this.url, ["sojourn.v1.json"]);
    this.#socket = socket;
    this.#goodbye = null;
    const mine = (take) => (event) => socket === this.#socket && take(event);
    socket.onopen = mine(() => this.#greet());
    socket.onmessage = mine((event) => this.#take(JSON.parse(event.data)));
    socket.onclose = mine((event) => this.#lost(this.#goodbye?.message || event.reason || "the connection was lost"));
    socket.onerror = () => {}; // a close follows, and says as much
  }

  #greet() {
    const { role, identity, token, heartbeat } = this.#options;
    const hello = { type: "hello", id: 0, protocol: 1, client: "sojourn.js", role, identity, token };
    this.#heardAt = now();
    this.#write(heartbeat ? { ...hello, heartbeat } : hello);
  }

  #take(frame) {
    this.#heardAt = now();
    if (frame.type === "goodbye") {
      this.#goodbye = frame;
      this.dispatchEvent(new CustomEvent("goodbye", { detail: frame }));
    } else if (frame.reply_to === 0) this.#onGreeted(frame);
    else if (frame.reply_to !== undefined) this.#onReply(frame);
    else if (frame.type !== "error") this.#onPush(frame);
  }

  #onGreeted(frame) {
    if (frame.type === "error") {
      // Neither a new connection nor time would change that.
      if (!NOT_DONE.has(frame.code)) this.#stop(frame.message, new SojournError(frame));
      return;
    }
    this.#attempts = 0;
    clearInterval(this.#beat);
    if (frame.heartbeat) this.#beat = setInterval(() => this.#keepAlive(frame.heartbeat), frame.heartbeat * 500);
    this.#become("open");
    // Sessions first: what is sent behind finds them attached, and their events in order.
    for (const session of this.#sessions.values()) if (session.followed) session._resume();
    const asked = [...this.#pending.values()].some((each) => each.frame.type === "watch" && !each.sent);
    if (this.#watched && !asked) this.request("watch", this.#watched).catch(() => {});
    for (const waiting of [...this.#pending.values()]) if (!waiting.sent) this.#send(waiting);
    this.#welcomed.resolve(frame);
  }

  #onReply(frame) {
    const waiting = this.#pending.get(frame.reply_to);
    if (!waiting) return;
    const { repeatable } = waiting;
    if (frame.type === "error" && NOT_DONE.has(frame.code) && repeatable && waiting.refused < 5) {
      const delay = frame.retry_after ?? 0.2 * 2 ** waiting.refused;
      waiting.refused += 1;
      waiting.sent = false;
      setTimeout(() => this.#state === "open" && !waiting.sent && this.#send(waiting), delay * 1000);
      return;
    }
    this.#pending.delete(frame.reply_to);
    if (frame.type === "error") {
      waiting.reject(new SojournError(frame));
      return;
    }
    const session = this.#sessions.get(frame.session_id ?? waiting.frame.session_id);
    if (session) session._onReply(frame, waiting.frame);
    waiting.resolve(frame);
  }

  #onPush(frame) {
    const session = this.#sessions.get(frame.session_id);
    if (session?.followed) session._onPush(frame);
    // A watched queue tells of sessions that are followed, too.
    if (!session?.followed || this.#watched) this.dispatchEvent(new CustomEvent("push", { detail: frame }));
  }

  #send(waiting) {
    if (!this.#pending.has(waiting.frame.id)) return;
    waiting.sent = true;
    this.#write(waiting.frame);
  }

  #write(frame) {
    this.#spokeAt = now();
    this.#socket.send(JSON.stringify(frame));
  }

  #keepAlive(heartbeat) {
    if (now() - this.#heardAt > 2 * heartbeat) this.#drop("the server was silent for two heartbeats");
    else if (now() - this.#spokeAt >= heartbeat / 2) this.request("ping").catch(() => {});
  }

  /** The connection is of no more use, whatever the socket thinks. */
  #drop(reason) {
    const socket = this.#socket;
    if (!socket) return;
    this.#lost(reason);
    socket.close();
  }

  #lost(reason) {
    this.#socket = null;
    clearInterval(this.#beat);
    for (const [id, waiting] of this.#pending) {
      if (waiting.sent && !waiting.repeatable) {
        this.#pending.delete(id);
        waiting.reject(lost(`${reason}: nobody knows whether it was done`));
      }
      waiting.sent = false;
    }
    if (this.#goodbye && !this.#goodbye.reconnect) {
      this.#stop(reason);
      return;
    }
    if (this.#welcomed.settled) this.#welcomed = deferred();
    const { firstDelay, longestDelay } = this.#options;
    const delay = Math.min(firstDelay * 2 ** Math.min(this.#attempts++, 30), longestDelay);
    const wait = Math.max(delay * (0.5 + Math.random() / 2), this.#goodbye?.retry_after ?? 0);
    this.#timer = setTimeout(() => this.#dial(), wait * 1000);
    this.#become("waiting");
  }

  #hurry() {
    if (this.#state === "waiting") this.#dial();
  }

  #stop(reason, error = lost(reason)) {
    if (this.#state === "ended") return;
    clearTimeout(this.#timer);
    clearInterval(this.#beat);
    globalThis.removeEventListener?.("online", this.#wake);
    globalThis.removeEventListener?.("offline", this.#lose);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#become("ended");
    this.#welcomed.reject(error);
    for (const waiting of this.#pending.values()) waiting.reject(error);
    this.#pending.clear();
    for (const session of [...this.#sessions.values()]) session._end(reason);
  }
}

/**
 * A session as this page holds it. Each durable event is dispatched once, in the order of `seq`, as a CustomEvent of its
 * own type and again as `event`; `detail` is the event. `gap` (detail: `after_seq`, `until_seq`): events that no longer
 * exist. `ended` (detail: why): nothing more comes. Typing, receipts and pieces of answers come as they are.
 */
export class Session extends EventTarget {
  /** The newest map of the session that the server sent. @type {Frame | null} */
  info = null;
  /** Keep it, with `id` and `seq`, to resume after the page was loaded anew. @type {string | undefined} */
  resumeToken;
  /** Everything up to here was told. @type {number} */
  seq = 0;
  /** Is this connection attached, or will it be when it is back? */
  followed = false;
  #client;
  #held = new Map();
  #until = 0;
  #fetching = false;
  #queues = new Set();
  #resuming = null;
  #ended = false;

  /** @param {Client} client @param {string} id */
  constructor(client, id) {
    super();
    this.#client = client;
    /** @type {string} */ this.id = id;
  }

  /** Attach, and be told what happened behind `seq`. @returns {Promise<Frame>} the session map */
  async resume() {
    this.followed = true;
    await this._resume();
    return this.info;
  }

  /**
   * Send a message; it is stored once, however often the connection breaks.
   * @param {string | Frame} message a text, or `text`, `attachments`, `data`, `context`
   * @param {string} [messageId] the same id again: the same message
   * @returns {Promise<Frame>} `message:accepted`
   */
  send(message, messageId = newId()) {
    const payload = typeof message === "string" ? { text: message } : message;
    return this.request("message:send", { message_id: messageId, ...payload });
  }

  /** @param {Frame} patch a merge patch: null deletes @param {number} [expectedVersion] */
  updateContext(patch, expectedVersion) {
    return this.request("session:context:update", { context: patch, expected_version: expectedVersion });
  }

  /** @param {"start" | "stop"} [action] */
  compose(action = "start") {
    return this.request("message:compose", { action });
  }

  /** Tell the others that one has read up to there. @param {number} [seq] */
  read(seq = this.seq) {
    return this.request("message:read", { read_seq: seq });
  }

  /** @param {string} [reason] */
  close(reason) {
    return this.request("session:close", { reason });
  }

  reopen() {
    return this.request("session:reopen");
  }

  /** @param {number} rating 1 to 5 @param {string} [feedback] */
  rate(rating, feedback) {
    return this.request("session:rate", { rating, feedback });
  }

  /** Hear no more of it here; it lives on. */
  async detach() {
    this.followed = false;
    await this.request("session:detach");
    this._end("detached");
  }

  /** Any request of the wire about this session. @param {string} type @param {Frame} [payload] */
  request(type, payload = {}) {
    return this.#client.request(type, { session_id: this.id, ...payload });
  }

  /** Every event from now on, until the session ends: `for await (const event of session)`. */
  async *[Symbol.asyncIterator]() {
    const queue = { waiting: [], wake: null };
    this.#queues.add(queue);
    try {
      for (;;) {
        while (queue.waiting.length) yield queue.waiting.shift();
        if (this.#ended) return;
        await new Promise((resolve) => (queue.wake = resolve));
      }
    } finally {
      this.#queues.delete(queue);
    }
  }

  /** @param {Frame} info */
  _know(info) {
    this.info = info;
    this.followed = true;
  }

  _resume() {
    this.#resuming ??= this.request("session:resume", { after_seq: this.seq, resume_token: this.resumeToken })
      .catch((error) => {
        if (["session_expired", "session_not_found", "unauthorized", "forbidden"].includes(error.code)) {
          this._end(error.code);
        }
        throw error;
      })
      .finally(() => (this.#resuming = null));
    this.#resuming.catch(() => {}); // told by `ended`, and to whoever asked for it
    return this.#resuming;
  }

  /** A reply about this session: it stands for events that are pushed to everybody else. */
  _onReply(frame, request) {
    if (frame.session) this.info = frame.session;
    if (frame.type === "session:resumed") this.#onResumed(frame);
    else if (frame.type === "session:erased") this._end("erased");
    else if (this.followed || (ATTACHING.has(request.type) && request.attach !== false)) {
      const seq = frame.seq ?? 0;
      if (!this.followed) {
        this.followed = true; // the request attached this connection
        this.seq = Math.max(this.seq, seq - 1);
      }
      if (seq > this.seq) this._missing(seq);
    }
  }

  _onPush(frame) {
    if (frame.seq === undefined) this.#tell(frame);
    else if (frame.seq > this.seq) {
      this.#held.set(frame.seq, frame);
      if (!this.#fetching) this.#release();
      if (this.#held.size) this._missing(Math.max(...this.#held.keys()));
    }
  }

  /** Events up to there happened, and were not pushed here: read them. @param {number} until */
  async _missing(until) {
    this.#until = Math.max(this.#until, until);
    if (this.#fetching) return;
    this.#fetching = true;
    try {
      while (this.seq < this.#until && !this.#ended) {
        const page = await this.request("session:history", {
          after_seq: this.seq, limit: Math.min(this.#until - this.seq, PAGE),
        });
        const before = this.seq;
        for (const event of page.events) this.#deliver(event);
        this.#release();
        if (this.seq === before) this.#skip(this.#until);
      }
    } catch (error) {
      if (!this.#ended && error.code !== "connection_lost") this.#skip(this.#until);
    } finally {
      this.#fetching = false;
      this.#release();
    }
  }

  /** Nothing more comes. @param {string} why */
  _end(why) {
    if (this.#ended) return;
    this.#ended = true;
    this.followed = false;
    this.#client._forget(this.id);
    this.dispatchEvent(new CustomEvent("ended", { detail: why }));
    for (const queue of this.#queues) queue.wake?.();
  }

  #onResumed(frame) {
    if (frame.session.seq < this.seq) {
      // The server lost what it had: a copy of an older day was put in its place.
      this.#gap(this.seq, frame.session.seq);
      this.seq = frame.session.seq;
    }
    if (!frame.complete) this.#skip(frame.events.length ? frame.events[0].seq - 1 : frame.session.seq);
    for (const event of frame.events) this.#deliver(event);
    this.#release();
    if (frame.session.seq > this.seq) this._missing(frame.session.seq);
  }

  #deliver(event) {
    if (event.seq <= this.seq) return;
    if (event.seq > this.seq + 1) this.#gap(this.seq, event.seq - 1);
    this.seq = event.seq;
    this.#held.delete(event.seq);
    this.#tell(event);
  }

  /** Tell what was held back and follows now without a hole. */
  #release() {
    for (const seq of [...this.#held.keys()].sort((a, b) => a - b)) {
      if (seq <= this.seq) this.#held.delete(seq);
      else if (seq === this.seq + 1) this.#deliver(this.#held.get(seq));
      else return;
    }
  }

  #skip(seq) {
    if (seq <= this.seq) return;
    this.#gap(this.seq, seq);
    this.seq = seq;
    this.#release();
  }

  #gap(after_seq, until_seq) {
    this.dispatchEvent(new CustomEvent("gap", { detail: { session_id: this.id, after_seq, until_seq } }));
  }

  #tell(event) {
    for (const queue of this.#queues) {
      queue.waiting.push(event);
      queue.wake?.();
    }
    this.dispatchEvent(new CustomEvent(event.type, { detail: event }));
    this.dispatchEvent(new CustomEvent("event", { detail: event }));
    if (event.type === "session:expired") this._end(event.reason);
  }
}

function now() {
  return performance.now() / 1000;
}

function lost(message) {
  return new SojournError({ code: "connection_lost", message });
}

function deferred() {
  const made = { settled: false };
  made.promise = new Promise((resolve, reject) => {
    made.resolve = (value) => ((made.settled = true), resolve(value));
    made.reject = (error) => ((made.settled = true), reject(error));
  });
  made.promise.catch(() => {}); // whoever waits is told; nobody has to wait
  return made;
}
