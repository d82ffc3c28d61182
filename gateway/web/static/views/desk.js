/** The human desk: who waits, whom one has, and the talk that is open. */
import { DeskWork } from "../desk_work.js";
import { html, useEffect, useRef, useState } from "../dom.js";
import { nameOf, words } from "../format.js";
import { Badge, Countdown, Dialog, Empty, Field, Loading, Panel, When } from "../parts.js";
import { toSession } from "../router.js";
import { Composer, Transcript } from "./transcript.js";

function useDesk(identity) {
  const [state, setState] = useState(null);
  const work = useRef(null);
  useEffect(() => {
    work.current = new DeskWork(identity, setState);
    return () => work.current.stop();
  }, [identity]);
  return [state, work];
}

/** Who sits here: asked once, known to this browser. */
function Arrival({ onName }) {
  return html`
    <div class="head"><h1>Desk</h1></div>
    <section class="panel hello" aria-label="Who are you?">
      <form class="stack" onSubmit=${(event) => {
        event.preventDefault();
        const name = String(new FormData(event.target).get("name")).trim();
        if (name) onName(name);
      }}>
        <${Field} label="Your name at the desk"><input name="name" required autocomplete="username" maxlength="64" /><//>
        <p class="muted">Users' sessions that wait for a human come here. Those you take are assigned to this name.</p>
        <div class="row"><span class="grow"></span><button class="primary">Sit down</button></div>
      </form>
    </section>`;
}

function Waiting({ state, work }) {
  if (!state.loaded) return html`<${Loading} lines=${3} />`;
  if (state.waiting.length === 0) return html`<${Empty} title="Nobody waits">Who is handed over to a human comes here at once.<//>`;
  return html`
    <ol class="queue">${state.waiting.map((row, index) => html`
      <li key=${row.session_id} class=${row.session_id === state.selected ? "chosen" : ""}>
        <button class="look" onClick=${() => work.current.select(row.session_id)} aria-label="Look at ${row.name}">
          <b dir="auto">${row.name}</b><span>${row.queue ? `${row.queue} · ` : ""}waits for <${When} at=${row.since} suffix="" /></span></button>
        <button class="small ${index === 0 ? "primary" : ""}" onClick=${() => work.current.take(row.session_id)}
          aria-label="Take ${row.name}">Take</button>
        ${row.note && html`<p class="remark" dir="auto">${row.note}</p>`}
      </li>`)}
      ${state.others > 0 && html`<li class="muted">and ${state.others} more behind them</li>`}</ol>`;
}

function Mine({ state, work }) {
  if (!state.loaded) return html`<${Loading} lines=${2} />`;
  if (state.mine.length === 0) return html`<${Empty} title="You have nobody">Take somebody who waits.<//>`;
  return html`
    <ul class="queue">${state.mine.map((session) => html`
      <li key=${session.session_id} class=${session.session_id === state.selected ? "chosen" : ""}>
        <button class="look" onClick=${() => work.current.select(session.session_id)} aria-label="Talk to ${nameOf(session)}">
          <b>${nameOf(session)}</b><span>${session.channel} · <${When} at=${session.last_activity_at} /></span></button>
        ${state.unread[session.session_id] > 0 && html`<span class="unread">${state.unread[session.session_id]} new</span>`}
      </li>`)}</ul>`;
}

/** The open talk. Keys go where they are typed: nothing is done to a talk that one has not opened oneself. */
function Open({ state, work }) {
  const [passing, setPassing] = useState(false);
  const { session, talk } = state;
  if (state.selected === null) {
    return html`<section class="panel"><${Empty} title="No talk is open">Look at somebody who waits, or take them.<//></section>`;
  }
  if (session === null) return html`<section class="panel talk"><${Loading} lines=${8} /></section>`;
  const own = session.status === "active" && session.handling === "human" && session.assignee === state.identity;
  const waits = session.status === "active" && session.handling === "queued";
  const desk = work.current;
  return html`
    <section class="panel talk" aria-label="Talk with ${nameOf(session)}">
      <header>
        <div class="row"><h2 dir="auto">${nameOf(session)}</h2><${Badge} of=${session.status} />
          ${session.status === "active" && html`<${Badge} of=${session.handling} />
            <span class="expires">expires in <b><${Countdown} at=${session.expires_at} /></b></span>`}
          <a class="note" href=${toSession(session.session_id)}>all about it</a></div>
        <div class="row">
          ${waits && html`<button class="primary small" onClick=${() => desk.take(session.session_id)}>Take</button>`}
          ${own && html`
            <button class="small" onClick=${desk.release}>Hand back</button>
            <button class="small" onClick=${() => setPassing(true)}>Pass on…</button>
            <button class="small" onClick=${desk.resolve}>Resolve</button>`}
        </div>
      </header>
      <${Transcript} key=${session.session_id} talk=${talk} user=${nameOf(session)} label="Talk with ${nameOf(session)}"
        onEarlier=${() => desk.earlier()} onLater=${() => Promise.resolve()} onNewest=${() => desk.select(session.session_id)} />
      ${own ? html`<${Composer} key=${session.session_id} label="Write to ${nameOf(session)}" onSend=${(text) => desk.say(text)}
          onTyping=${(writing) => desk.typing(writing)} disabled=${!state.linked} />`
        : html`<p class="ended">${session.status === "expired" ? `Expired: ${words(session.expiry_reason)}.`
          : session.status === "closed" ? `Closed: ${words(session.close_reason)}.`
          : waits ? "Take it to answer." : session.handling === "human" ? `${session.assignee} has it.` : "The AI answers."}</p>`}
      ${passing && html`<${Dialog} title="Pass it on" onClose=${() => setPassing(false)}>
        <form method="dialog" onSubmit=${(event) => desk.passOn(String(new FormData(event.target).get("queue")))}>
          <${Field} label="Queue"><input name="queue" required autocomplete="off" /><//>
          <div class="row"><span class="grow"></span><button type="button" onClick=${() => setPassing(false)}>Cancel</button>
            <button class="primary">Pass on</button></div>
        </form><//>`}
    </section>`;
}

function AtDesk({ identity, onLeave }) {
  const [state, work] = useDesk(identity);
  if (state === null) return html`<div class="head"><h1>Desk</h1></div><${Loading} lines=${6} />`;
  return html`
    <div class="head"><h1>Desk</h1>
      <span class="link ${state.linked ? "open" : "waiting"}" role="status">${state.linked ? "live" : "connecting…"}</span>
      <p class="notice" role="status">${state.notice}</p><div class="grow"></div>
      <p>You are <b>${identity}</b></p><button class="small" onClick=${onLeave}>Leave</button></div>
    <div class="desk">
      <div class="lists">
        <${Panel} title="Waiting" kind="flush" aside=${html`<span class="muted">${state.waiting.length + state.others}</span>`}>
          <${Waiting} state=${state} work=${work} /><//>
        <${Panel} title="Yours" kind="flush" aside=${html`<span class="muted">${state.mine.length}</span>`}>
          <${Mine} state=${state} work=${work} /><//>
      </div>
      <${Open} state=${state} work=${work} />
    </div>`;
}

export default function Desk() {
  const [identity, setIdentity] = useState(() => localStorage.getItem("desk"));
  const sit = (name) => {
    localStorage.setItem("desk", name);
    setIdentity(name);
  };
  const leave = () => {
    localStorage.removeItem("desk");
    setIdentity(null);
  };
  return identity ? html`<${AtDesk} identity=${identity} onLeave=${leave} />` : html`<${Arrival} onName=${sit} />`;
}
