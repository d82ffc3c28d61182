/** One session: its conversation, its timers as they run, its context, and why it is as it is. */
import { post, request } from "../api.js";
import { html, useState } from "../dom.js";
import { exact, nameOf, number, words } from "../format.js";
import { Badge, Countdown, Dialog, Empty, Failure, Field, Icon, Loading, Panel, When } from "../parts.js";
import { go, to } from "../router.js";
import { Composer, Transcript } from "./transcript.js";
import { useTalk } from "./use_talk.js";
import { newId } from "../sojourn.js";

const HIDDEN = "***";

/** A value of a context or of user information; what the server hides stays hidden. */
export function Value({ value }) {
  if (value === HIDDEN) return html`<span class="concealed" title="The server does not show this value">hidden</span>`;
  if (value !== null && typeof value === "object") return html`<pre class="value">${JSON.stringify(value, null, 2)}</pre>`;
  return html`<span class="value">${value === null ? "nil" : String(value)}</span>`;
}

const Values = ({ values, none }) => (Object.keys(values ?? {}).length === 0
  ? html`<p class="muted">${none}</p>`
  : html`<dl class="facts">${Object.entries(values).map(([key, value]) => html`
      <div key=${key}><dt class="mono">${key}</dt><dd><${Value} value=${value} /></dd></div>`)}</dl>`);

function Timers({ session, why }) {
  if (session.status === "expired") {
    return html`<p>Expired by <b>${words(session.expiry_reason)}</b>,${" "}
      <time class="expired-at" datetime=${new Date(session.expired_at * 1000).toISOString()}>${exact(session.expired_at)}</time>.</p>`;
  }
  const deadlines = why?.deadlines ?? [];
  if (why === null) return html`<${Loading} lines=${2} />`;
  if (deadlines.length === 0) return html`<p class="muted">Nothing runs: it stays as it is.</p>`;
  return html`<ul class="timers">${deadlines.map((each) => html`
    <li key=${each.timer + (each.name ?? "")}>
      <b>${each.name ?? words(each.timer)}</b><${Countdown} at=${each.at} over="due" />
      <span class="muted">${each.then}</span></li>`)}</ul>`;
}

const Why = ({ why }) => (why === null ? html`<${Loading} lines=${3} />` : html`
  <p>Waits for ${why.waits_for ?? "nothing"}.</p>
  <dl class="facts">
    ${typeof why.place === "number" && html`<div><dt>place in the queue</dt><dd>${why.place}</dd></div>`}
    <div><dt>attached connections</dt><dd>${why.attached ?? 0}</dd></div>
    <div><dt>requests that wait</dt><dd>${why.queued ?? 0}</dd></div>
    <div><dt>in memory</dt><dd>${why.live ? "yes" : "no: loaded when needed"}</dd></div>
    ${why.restarts > 0 && html`<div class="bad"><dt>restarts</dt><dd>${why.restarts}</dd></div>`}
  </dl>`);

/** What can be done to a session; each names what it does, and a refusal is shown where it was asked for. */
function Actions({ session, onError }) {
  const [asking, setAsking] = useState(null);
  const path = `/v1/sessions/${encodeURIComponent(session.session_id)}`;
  const act = (name, body = {}) => post(`${path}/${name}`, body).then(() => onError(null), onError);
  const active = session.status === "active";
  return html`
    <div class="actions">
      ${active && html`<button onClick=${() => setAsking("handover")}>Hand over…</button>
        <button onClick=${() => act("close")}>Close</button>`}
      ${session.status === "closed" && html`<button onClick=${() => act("reopen")}>Reopen</button>`}
      <button class="danger" onClick=${() => setAsking("erase")}>Erase…</button>
    </div>
    ${asking === "handover" && html`<${Dialog} title="Hand over to a human" onClose=${() => setAsking(null)}>
      <form method="dialog" onSubmit=${(event) => {
        const form = new FormData(event.target);
        act("handover", { queue: form.get("queue") || undefined, note: form.get("note") || undefined });
      }}>
        <${Field} label="Queue"><input name="queue" autocomplete="off" /><//>
        <${Field} label="Note to whoever takes it"><textarea name="note"></textarea><//>
        <div class="row"><span class="grow"></span><button type="button" onClick=${() => setAsking(null)}>Cancel</button>
          <button class="primary">Hand over</button></div>
      </form><//>`}
    ${asking === "erase" && html`<${Dialog} title="Erase this session?" onClose=${() => setAsking(null)}>
      <p>All its messages and events are removed for good. Nobody can bring them back.</p>
      <form method="dialog" onSubmit=${() => request("DELETE", path).then(() => go(to("sessions")), onError)}>
        <div class="row"><span class="grow"></span><button type="button" onClick=${() => setAsking(null)}>Cancel</button>
          <button class="danger">Erase</button></div>
      </form><//>`}`;
}

function Say({ session }) {
  const [author, setAuthor] = useState("user");
  const gone = session.status === "expired";
  if (gone) return html`<p class="ended" role="status">This session has expired. A new conversation is a new session.</p>`;
  const send = (text) => {
    const id = newId();
    const deliver = () => post(`/v1/sessions/${encodeURIComponent(session.session_id)}/messages`,
      { text, author }, { headers: { "Idempotency-Key": id } });
    // Under one key a second attempt is never a second message.
    return deliver().catch((error) => (error.status === 0 ? deliver() : Promise.reject(error)));
  };
  return html`<${Composer} onSend=${send} label="Write a message">
    <label class="inline">as <select value=${author} onChange=${(event) => setAuthor(event.target.value)} aria-label="Write as">
      <option value="user">the user</option><option value="system">the system</option></select></label><//>`;
}

export default function Session({ route }) {
  const id = route.parts[0];
  const at = route.query.at ? Number(route.query.at) : null;
  const { session, why, talk, link, error, retry, onEarlier, onLater, onNewest } = useTalk(id, at);
  const [refused, setRefused] = useState(null);
  if (error) {
    return html`<div class="head"><a class="button plain" href=${to("sessions")}><${Icon} name="back" />Sessions</a></div>
      ${error.status === 404 ? html`<section class="panel"><${Empty} title="There is no such session">
        ${error.message} It may have been erased, or the address is not whole.<//></section>`
      : html`<${Failure} error=${error} retry=${retry} />`}`;
  }
  if (session === null) return html`<${Loading} lines=${10} />`;
  const ended = session.status === "expired";
  return html`
    <div class="head">
      <a class="back" href=${to("sessions")} aria-label="All sessions"><${Icon} name="back" /></a>
      <div class="title"><h1 dir="auto" title=${nameOf(session)}>${nameOf(session)}</h1><span class="mono muted id">${session.session_id}</span></div>
      <span class="states" role="status"><${Badge} of=${session.status} />${!ended && html` <${Badge} of=${session.handling} />`}
        ${session.assignee && !ended && html` <span class="muted">${session.assignee}</span>`}</span>
      ${!ended && html`<span class="expires">expires in <b><${Countdown} at=${session.expires_at} /></b></span>`}
      <div class="grow"></div>
      <${Actions} session=${session} onError=${setRefused} />
    </div>
    ${refused && html`<${Failure} error=${refused} />`}
    <div class="session">
      <section class="panel talk" aria-label="Conversation">
        <header><h2>Conversation</h2><div class="aside"><span class="link ${link}" role="status">${
          { open: "live", waiting: "connecting…", ended: "ended" }[link]}</span></div></header>
        <${Transcript} talk=${talk} user=${nameOf(session)} at=${at}
          onEarlier=${onEarlier} onLater=${onLater} onNewest=${onNewest} />
        <${Say} session=${session} />
      </section>
      <div class="side">
        <${Panel} title="Timers"><${Timers} session=${session} why=${why} /><//>
        <${Panel} title="Why"><${Why} why=${why} /><//>
        <${Panel} title="Context" aside=${html`<span class="muted">version ${session.context_version}</span>`}>
          <${Values} values=${session.context} none="Empty." /><//>
        <${Panel} title="User"><${Values} values=${session.user} none="Nothing is known." /><//>
        <${Panel} title="Session">
          <dl class="facts">
            <div><dt>channel</dt><dd>${session.channel}</dd></div>
            <div><dt>started</dt><dd><${When} at=${session.created_at} /></dd></div>
            <div><dt>last activity</dt><dd><${When} at=${session.last_activity_at} /></dd></div>
            ${session.closed_at && html`<div><dt>closed</dt><dd><${When} at=${session.closed_at} /> ${words(session.close_reason)}</dd></div>`}
            <div><dt>events</dt><dd>${number(talk.newest)}</dd></div>
            ${session.tags?.length > 0 && html`<div><dt>tags</dt><dd>${session.tags.join(", ")}</dd></div>`}
            ${Object.entries(session.metadata ?? {}).map(([key, value]) => html`
              <div key=${key}><dt class="mono">${key}</dt><dd><${Value} value=${value} /></dd></div>`)}
          </dl><//>
      </div>
    </div>`;
}
