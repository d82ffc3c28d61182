/** A conversation and what happened in it, on one time line: who spoke at which side, the rest in between. */
import { html, useEffect, useLayoutEffect, useRef, useState } from "../dom.js";
import { date, exact, iso, timeOfDay } from "../format.js";
import { sentence } from "../talk.js";

const TONES = { "message:failed": "bad", "session:expired": "dim", "session:closed": "warn", "session:handed_over": "warn",
                "session:assigned": "human", "session:reopened": "good", "session:created": "good", "session:rated": "info" };
const AUTHORS = { user: "User", ai: "AI", human: "Human", system: "System" };

const Instant = ({ at }) => html`<time datetime=${iso(at)} title=${exact(at)}>${timeOfDay(at)}</time>`;

/** Whatever else a message carries, as it came: addresses are shown, never followed by themselves. */
const Extra = ({ label, value }) => html`
  <details class="extra"><summary>${label}</summary><pre>${JSON.stringify(value, null, 2)}</pre></details>`;

/** What one says in a row, in the same minute, stands under one name and one time. */
const goesOn = (before, event) => before?.type === "message:received" && before.author === event.author
  && before.author_id === event.author_id && Math.floor(before.at / 60) === Math.floor(event.at / 60);

function Message({ event, user, more }) {
  const author = AUTHORS[event.author] ?? String(event.author);
  const name = event.author === "user" ? event.author_id ?? user : event.author_id;
  return html`
    <li class="message from-${AUTHORS[event.author] ? event.author : "system"} ${more ? "more" : ""}" id="seq-${event.seq}">
      <p class="who ${more ? "unseen" : ""}" dir="auto">${event.author === "user" ? html`<b>${name ?? author}</b>` : html`<b>${author}</b>${name ? ` ${name}` : ""}`}
        <span class="muted"> <${Instant} at=${event.at} /></span></p>
      <div class="bubble" title=${more ? timeOfDay(event.at) : null}>
        ${typeof event.text === "string" && html`<p class="text" dir="auto">${event.text}</p>`}
        ${event.attachments?.length ? html`<${Extra} label="Attachments: ${event.attachments.length}" value=${event.attachments} />` : null}
        ${event.data !== null && event.data !== undefined && html`<${Extra} label="Data" value=${event.data} />`}
        ${event.cut && html`<p class="note">cut off here: the user spoke again</p>`}
      </div>
    </li>`;
}

const Mark = ({ event }) => html`
  <li class="mark ${TONES[event.type] ?? "dim"}" id="seq-${event.seq}">
    <span class="text" dir="auto">${sentence(event)}</span> <span class="muted"><${Instant} at=${event.at} /></span></li>`;

function lines(talk, user) {
  const drawn = [];
  let day = null;
  let before = null;
  for (const event of talk.events) {
    const today = date(event.at);
    if (today !== day) {
      before = null;
      drawn.push(html`<li class="day" key="day-${event.seq}"><span>${today}</span></li>`);
      day = today;
    }
    drawn.push(event.type === "message:received"
      ? html`<${Message} key=${event.seq} event=${event} user=${user} more=${goesOn(before, event)} />`
      : html`<${Mark} key=${event.seq} event=${event} />`);
    before = event;
  }
  return drawn;
}

/**
 * talk: as of talk.js. onEarlier, onLater: fetch the page before, behind. onNewest: go to the end. at: the `seq` to begin at.
 * Whoever reads at the end stays at the end; whoever reads further up is left where they are.
 */
export function Transcript({ talk, user, at = null, onEarlier, onLater, onNewest, label = "Conversation" }) {
  const box = useRef(null);
  const before = useRef({ low: 0, last: 0, atEnd: true, atNewest: true, seen: null, below: 0 });
  const placed = useRef(false);
  const busy = useRef(false);
  const [unread, setUnread] = useState(false);
  const atNewest = talk.high >= talk.newest;

  useLayoutEffect(() => {
    const room = box.current;
    const was = before.current;
    const last = talk.events.at(-1)?.seq ?? 0;
    if (!placed.current && talk.events.length) {
      placed.current = true;
      const wanted = at === null ? null : room.querySelector(`#seq-${at}`);
      if (wanted) {
        wanted.classList.add("wanted");
        wanted.scrollIntoView({ block: "center" });
      } else {
        room.scrollTop = room.scrollHeight;
      }
    } else if (was.atEnd && was.atNewest) {
      room.scrollTop = room.scrollHeight;
    } else if (talk.low !== was.low || last !== was.last) {
      // What one is reading stays where it is, whatever came or went above it.
      const seen = was.seen && room.querySelector(`#${was.seen}`);
      if (seen) room.scrollTop += seen.getBoundingClientRect().top - room.getBoundingClientRect().top - was.below;
      if (last > was.last && was.atNewest) setUnread(true);
    }
    remember();
  });
  useEffect(() => {
    const room = box.current;
    const watcher = new ResizeObserver(() => {
      if (before.current.atEnd) room.scrollTop = room.scrollHeight;
    });
    watcher.observe(room);
    return () => watcher.disconnect();
  }, []);

  const remember = () => {
    const room = box.current;
    const atEnd = room.scrollHeight - room.scrollTop - room.clientHeight < 40;
    const top = room.getBoundingClientRect().top;
    const seen = [...room.querySelectorAll("li[id]")].find((each) => each.getBoundingClientRect().bottom > top);
    before.current = { low: talk.low, last: talk.events.at(-1)?.seq ?? 0, atEnd, atNewest, seen: seen?.id,
                       below: seen ? seen.getBoundingClientRect().top - top : 0 };
    return atEnd;
  };
  const fetchOnce = async (page) => {
    if (busy.current) return;
    busy.current = true;
    await page().finally(() => { busy.current = false; });
  };
  const onScroll = () => {
    if (remember()) setUnread(false);
    const room = box.current;
    if (room.scrollTop < 200 && talk.low > 1) fetchOnce(onEarlier);
    else if (before.current.atEnd && !atNewest) fetchOnce(onLater);
  };
  const toEnd = async () => {
    if (!atNewest) await onNewest();
    box.current.scrollTop = box.current.scrollHeight;
    setUnread(false);
  };
  return html`
    <div class="transcript">
      <div class="scroll" ref=${box} onScroll=${onScroll} tabindex="0" role="log" aria-label=${label}>
        ${talk.low > 1 && html`<p class="edge"><button class="small plain" onClick=${() => fetchOnce(onEarlier)}>Earlier</button></p>`}
        <ol>${lines(talk, user)}
          ${Object.entries(talk.writing).map(([id, pieces]) => html`
            <li class="message from-ai pending" key=${id}><p class="who"><b>AI</b> <span class="muted">is writing…</span></p>
              <div class="bubble"><p class="text" dir="auto">${pieces.join("")}</p></div></li>`)}
        </ol>
        ${talk.composing && html`<p class="composing">${talk.composing.id ?? talk.composing.role} is writing…</p>`}
        ${!atNewest && html`<p class="edge"><button class="small plain" onClick=${() => fetchOnce(onLater)}>Later</button></p>`}
      </div>
      ${(unread || !atNewest) && html`<button class="small to-end" onClick=${toEnd}>
        ${atNewest ? "New below" : "To the newest"}</button>`}
    </div>`;
}

/** Where one writes: Enter sends, Shift+Enter begins a line. `onSend(text)` is a promise; a refusal keeps the text. */
export function Composer({ onSend, label, disabled = false, children, onTyping }) {
  const [text, setText] = useState("");
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const send = async (event) => {
    event.preventDefault();
    if (!text.trim() || busy || disabled) return;
    setBusy(true);
    try {
      await onSend(text);
      setText("");
      setError(null);
    } catch (refused) {
      setError(refused);
    } finally {
      setBusy(false);
    }
  };
  return html`
    <form class="composer" onSubmit=${send}>
      ${error && html`<p class="bad-text" role="alert">${error.message}</p>`}
      <textarea aria-label=${label} placeholder=${label} rows="2" value=${text} disabled=${disabled}
        onInput=${(event) => {
          setText(event.target.value);
          onTyping?.(event.target.value !== "");
        }}
        onKeyDown=${(event) => {
          if (event.key === "Enter" && !event.shiftKey && !event.isComposing) send(event);
        }}></textarea>
      <div class="row">${children}<span class="grow"></span>
        <button class="primary" disabled=${disabled || busy || !text.trim()}>Send</button></div>
    </form>`;
}
