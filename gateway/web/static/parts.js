/** What several views are made of. Everything that people wrote is drawn as text, never as markup. */
import { useTicks } from "./clock.js";
import { html, useEffect, useRef, useState } from "./dom.js";
import { count, exact, iso, number, roughly, span, words } from "./format.js";

const PATHS = {
  now: "M3 12h4l3-8 4 16 3-8h4",
  sessions: "M4 6h16M4 12h16M4 18h10",
  desk: "M4 5h16v10H9l-5 4zM8 9h8M8 12h5",
  past: "M12 7v5l3 2M4.5 9A8 8 0 1 1 4 12M4 5v4h4",
  charts: "M5 20V11M12 20V4M19 20v-6",
  broadcast: "M4 10v4h3l6 4V6L7 10zM17 9a4 4 0 0 1 0 6M19.5 6.5a8 8 0 0 1 0 11",
  theme: "M12 4a8 8 0 1 0 8 8 6 6 0 0 1-8-8z",
  book: "M5 4h11a3 3 0 0 1 3 3v13H8a3 3 0 0 1-3-3zM5 17a3 3 0 0 1 3-3h11",
  back: "M14 6l-6 6 6 6",
};

export const Icon = ({ name }) => html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;

const TONES = {
  active: "good", closed: "warn", expired: "dim",
  ai: "info", queued: "warn", human: "human",
};
const LABELS = { ai: "AI" };

/** A state as a word with its colour. */
export const Badge = ({ of }) =>
  html`<span class="badge ${TONES[of] ?? "dim"}">${LABELS[of] ?? words(of)}</span>`;

/** How long ago, the exact instant on hover and for screen readers. */
export function When({ at, suffix = " ago" }) {
  const now = useTicks(typeof at === "number" ? at : null);
  if (typeof at !== "number") return html`<span class="muted">–</span>`;
  const past = now - at;
  const text = past < 0 ? `in ${roughly(-past)}` : past < 1 ? "now" : roughly(past) + suffix;
  return html`<time datetime=${iso(at)} title=${exact(at)}>${text}</time>`;
}

/** Seconds left until `at`, counting down; at the instant itself it says `over`. */
export function Countdown({ at, over = "now" }) {
  const now = useTicks(typeof at === "number" ? at : null);
  if (typeof at !== "number") return html`<span class="muted">never</span>`;
  const left = Math.ceil(at - now - 0.003);
  return html`<time class="count" datetime=${iso(at)} title=${exact(at)}>${left > 0 ? span(left) : over}</time>`;
}

/** Nothing is here, and what to do about it. */
export const Empty = ({ title, children }) =>
  html`<div class="empty"><p class="empty-title">${title}</p>${children && html`<p>${children}</p>`}</div>`;

/** Something failed: what, and a way to try again. */
export const Failure = ({ error, retry }) => html`
  <div class="failure" role="alert">
    <p>${error.message}</p>
    <p class="muted"><span class="mono">${error.code ?? "error"}</span></p>
    ${retry && html`<button class="small" onClick=${retry}>Try again</button>`}
  </div>`;

/** Something is coming: as many grey lines as it will roughly have. */
export const Loading = ({ lines = 5 }) => html`
  <div class="loading" role="status"><span class="unseen">Loading…</span>
    ${Array.from({ length: lines }, () => html`<div class="bone"></div>`)}
  </div>`;

/** The search index is being filled, which takes a while after it was switched on; whoever shows this asks again. */
export const Building = ({ behind }) => html`
  <p class="note building" role="status">The search is being built, ${count(behind, "event")} behind…</p>`;

/** Data, or why there is none. `answer` as of `useAnswer`; draws `children(data)`. */
export function Answered({ answer, lines, children }) {
  if (typeof answer.error?.details?.behind === "number") {
    return html`<${Building} behind=${answer.error.details.behind} /><${Loading} lines=${lines} />`;
  }
  if (answer.error) return html`<${Failure} error=${answer.error} retry=${answer.reload} />`;
  if (answer.data === null) return html`<${Loading} lines=${lines} />`;
  return children(answer.data);
}

/** A field with its label above. */
export const Field = ({ label, children, wide }) =>
  html`<label class="field ${wide ? "wide" : ""}"><span>${label}</span>${children}</label>`;

/** Milliseconds without a key after which one has stopped typing: what is found shall be there within 300. */
const PAUSE = 80;

/** A text field that tells what it holds once one stops typing, leaves it or presses Enter. */
export function Typed({ value, onValue, ...rest }) {
  const [text, setText] = useState(value ?? "");
  const waiting = useRef(0);
  useEffect(() => setText(value ?? ""), [value]);
  useEffect(() => () => clearTimeout(waiting.current), []);
  const tell = (next) => {
    clearTimeout(waiting.current);
    if (next !== (value ?? "")) onValue(next);
  };
  return html`<input ...${rest} value=${text}
    onInput=${(event) => {
      const next = event.target.value;
      setText(next);
      clearTimeout(waiting.current);
      waiting.current = setTimeout(() => tell(next), PAUSE);
    }}
    onChange=${(event) => tell(event.target.value)} />`;
}

/** A choice among a few values; "" is all of them. */
export const Choice = ({ value, onValue, options, all }) => html`
  <select value=${value ?? ""} onChange=${(event) => onValue(event.target.value)}>
    ${all && html`<option value="" selected=${!value}>${all}</option>`}
    ${options.map(([key, label]) => html`<option value=${key} selected=${value === key}>${label}</option>`)}
  </select>`;

/** Pages of a list: `cursors` are those of the pages before, kept by the caller in the address's history. */
export const Pager = ({ shown, total, first, onBack, onNext }) => html`
  <nav class="pager" aria-label="Pages">
    <span class="muted">${shown === 0 ? "" : `${number(first + 1)}–${number(first + shown)}`}${
      typeof total === "number" ? ` of ${number(total)}` : ""}</span>
    <button class="small" disabled=${!onBack} onClick=${onBack}>Previous</button>
    <button class="small" disabled=${!onNext} onClick=${onNext}>Next</button>
  </nav>`;

/** A part of a view under a heading of its own. */
export const Panel = ({ title, aside, children, kind = "" }) => html`
  <section class="panel ${kind}" aria-label=${title}>
    <header><h2>${title}</h2>${aside && html`<div class="aside">${aside}</div>`}</header>
    ${children}
  </section>`;

/** Something to be confirmed, over everything else; Escape leaves it. */
export function Dialog({ title, onClose, children }) {
  const box = useRef(null);
  useEffect(() => {
    box.current.showModal();
  }, []);
  return html`<dialog ref=${box} onClose=${onClose} aria-label=${title}><h2>${title}</h2>${children}</dialog>`;
}

/** A line of recent values, newest at the right; without axes: the number stands beside it. */
export function Spark({ values, label }) {
  const width = 160;
  const height = 36;
  const known = values.filter((value) => typeof value === "number");
  const top = Math.max(...known, 0) || 1;
  const step = width / Math.max(values.length - 1, 1);
  const points = values.map((value, index) =>
    [index * step, typeof value === "number" ? height - 2 - (value / top) * (height - 5) : null]);
  const line = points.filter((point) => point[1] !== null)
    .map(([x, y], index) => `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  const start = points.find((point) => point[1] !== null);
  return html`<svg class="spark" viewBox="0 0 ${width} ${height}" preserveAspectRatio="none" role="img"
      aria-label="${label}, last two minutes, at most ${number(Math.max(...known, 0))}">
    ${known.length > 1 && html`
      <path class="area" d="${line}L${width} ${height}L${start[0].toFixed(1)} ${height}Z" />
      <path class="line" d=${line} />`}
  </svg>`;
}
