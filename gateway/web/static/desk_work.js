/**
 * What a human does at the desk: look, take, say, hand back, resolve. `state` is what there is to see; no drawing here.
 *
 * The server's answers are the truth: a pushed event only says that it is time to ask again, and what came meanwhile is
 * asked for once. So the lists are right after a reconnect as well.
 */
import { nameOf } from "./format.js";
import { Client, newId } from "./sojourn.js";
import { heard, nothingKnown, opened, PAGE, withEarlier, withLater } from "./talk.js";

/** Rows of those who wait; of the others there is a number. */
const MOST_WAITING = 50;

export class DeskWork {
  #onChange;
  #link;
  #known = new Map();
  #attached = new Set();
  #asking = null;
  #again = false;
  #writing = false;
  #stopped = false;

  constructor(identity, onChange) {
    this.#onChange = onChange;
    this.state = { identity, linked: false, loaded: false, waiting: [], others: 0, mine: [], selected: null,
                   session: null, talk: nothingKnown, unread: {}, notice: "" };
    this.#link = new Client(undefined, { role: "agent", identity });
    this.#link.addEventListener("state", ({ detail }) => (detail === "open" ? this.#arrive() : this.#set({ linked: false })));
    this.#link.addEventListener("push", ({ detail }) => this.#hear(detail));
    this.#link.connect().catch((error) => this.#set({ notice: error.message }));
  }

  stop() {
    this.#stopped = true;
    this.#link.end();
  }

  #set(changes) {
    if (this.#stopped) return;
    this.state = { ...this.state, ...changes };
    this.#onChange(this.state);
  }

  async #arrive() {
    this.#set({ linked: true });
    this.#attached.clear();
    await this.#reread();
    if (this.state.selected) await this.select(this.state.selected);
  }

  /** Read both lists anew; while that is under way, whoever asks is served by one more time behind it. */
  async #reread() {
    if (this.#asking) {
      this.#again = true;
      return this.#asking;
    }
    this.#asking = this.#read().catch((error) => this.#set({ notice: error.message }));
    await this.#asking;
    this.#asking = null;
    if (this.#again) {
      this.#again = false;
      await this.#reread();
    }
  }

  async #read() {
    const [watching, humans] = await Promise.all([
      this.#link.request("watch"),
      this.#link.request("session:list", { status: "active", handling: "human", limit: 1000 }),
    ]);
    const rows = await Promise.all(watching.waiting.slice(0, MOST_WAITING).map((each) => this.#row(each)));
    const mine = humans.sessions.filter((session) => session.assignee === this.state.identity);
    for (const session of mine) {
      // Who has somebody hears of them, also while looking at somebody else.
      if (!this.#attached.has(session.session_id)) {
        this.#attached.add(session.session_id);
        this.#link.request("session:resume", { session_id: session.session_id }).catch(() => {});
      }
    }
    const listed = new Set([...rows.filter(Boolean), ...mine].map((each) => each.session_id));
    this.#known = new Map([...this.#known].filter(([id]) => listed.has(id)));
    this.#set({ loaded: true, waiting: rows.filter(Boolean), mine,
                others: Math.max(0, watching.waiting.length - MOST_WAITING) });
  }

  /** One that waits, with its name and what was noted at its handover; null when it is gone meanwhile. */
  async #row(each) {
    const known = this.#known.get(each.session_id);
    if (known?.since === each.since && known.queue === each.queue) return known;
    try {
      const { session } = await this.#link.request("session:get", { session_id: each.session_id });
      const page = await this.#link.request("session:history",
        { session_id: each.session_id, after_seq: Math.max(0, session.seq - 30), limit: 30 });
      const handover = page.events.filter((event) => event.type === "session:handed_over").at(-1);
      const row = { ...each, name: nameOf(session), note: handover?.note ?? null };
      this.#known.set(each.session_id, row);
      return row;
    } catch {
      return null;
    }
  }

  #hear(event) {
    const { selected, identity } = this.state;
    if (event.type?.startsWith("session:")) this.#reread();
    if (event.session_id === selected) {
      const talk = heard(this.state.talk, event);
      this.#set({ talk });
      if (talk.newest > talk.high) this.#catchUp();
      if (event.type.startsWith("session:")) this.#refresh();
    } else if (event.type === "message:received" && event.author === "user"
               && this.state.mine.some((each) => each.session_id === event.session_id)) {
      const unread = { ...this.state.unread, [event.session_id]: (this.state.unread[event.session_id] ?? 0) + 1 };
      this.#set({ unread });
    }
    if (event.type === "session:assigned" && event.session_id === selected && event.assignee !== identity) {
      this.#set({ notice: `${event.assignee} has it now` });
    }
  }

  async #refresh() {
    const id = this.state.selected;
    try {
      const { session } = await this.#link.request("session:get", { session_id: id });
      if (this.state.selected === id) this.#set({ session });
    } catch {
      if (this.state.selected === id) this.#set({ selected: null, session: null, talk: nothingKnown, notice: "It was erased." });
    }
  }

  /** What one causes oneself is answered and not pushed: read it. */
  async #catchUp() {
    const id = this.state.selected;
    const after = this.state.talk.high;
    const page = await this.#link.request("session:history", { session_id: id, after_seq: after, limit: 1000 });
    if (this.state.selected !== id || page.events.length === 0) return;
    this.#set({ talk: withLater(this.state.talk, page.events, page.events.at(-1).seq) });
  }

  /** Look at a talk, and hear of it from now on. */
  async select(id) {
    const before = this.state.selected;
    if (before && before !== id && !this.state.mine.some((each) => each.session_id === before)) {
      this.#attached.delete(before);
      this.#link.request("session:detach", { session_id: before }).catch(() => {});
    }
    const { [id]: _, ...unread } = this.state.unread;
    this.#set({ selected: id, unread, ...(before === id ? {} : { session: null, talk: nothingKnown }) });
    await this.#do(async () => {
      this.#attached.add(id);
      let session;
      try {
        ({ session } = await this.#link.request("session:resume", { session_id: id }));
      } catch (error) {
        if (error.code !== "session_expired") throw error;
        ({ session } = await this.#link.request("session:get", { session_id: id }));
      }
      const after = Math.max(0, session.seq - PAGE);
      const page = await this.#link.request("session:history", { session_id: id, after_seq: after, limit: PAGE });
      if (this.state.selected !== id) return;
      this.#set({ session, talk: opened(page.events, after, page.events.at(-1)?.seq ?? session.seq, session.seq) });
      if (this.state.talk.newest > this.state.talk.high) await this.#catchUp();
    });
  }

  async earlier() {
    const { selected, talk } = this.state;
    const after = Math.max(0, talk.low - 1 - PAGE);
    const page = await this.#link.request("session:history", { session_id: selected, after_seq: after, limit: talk.low - 1 - after });
    if (this.state.selected === selected) this.#set({ talk: withEarlier(this.state.talk, page.events, after) });
  }

  take = (id) => this.#do(async () => {
    await this.#link.request("session:assign", { session_id: id });
    await this.select(id);
    await this.#reread();
  });

  /** Throws what was refused: the words stay where they were typed. */
  async say(text) {
    this.#writing = false;
    await this.#link.request("message:send", { session_id: this.state.selected, text, message_id: newId() });
    await this.#catchUp();
  }

  typing(writing) {
    if (writing === this.#writing) return;
    this.#writing = writing;
    this.#link.request("message:compose", { session_id: this.state.selected, action: writing ? "start" : "stop" }).catch(() => {});
  }

  release = () => this.#end("session:release", {}, "is with the AI again");
  resolve = () => this.#end("session:resolve", {}, "is resolved");
  passOn = (queue) => this.#end("session:handover", { queue }, `waits in ${queue}`);

  #end = (type, payload, what) => this.#do(async () => {
    const { selected, session } = this.state;
    await this.#link.request(type, { session_id: selected, ...payload });
    this.#set({ notice: `${nameOf(session)} ${what}.` });
    await Promise.all([this.#catchUp(), this.#refresh(), this.#reread()]);
  });

  async #do(work) {
    this.#set({ notice: "" });
    try {
      await work();
    } catch (error) {
      const faster = error.code === "illegal_state" && error.details?.assignee;
      this.#set({ notice: faster ? `${faster} was faster.` : error.message });
      this.#reread();
    }
  }

}
