/** A message to many users at once: who, what, how far it is, and what became of each. */
import { broadcast } from "../broadcasting.js";
import { html, useRef, useState } from "../dom.js";
import { count, number, words } from "../format.js";
import { Empty, Failure, Field, Panel } from "../parts.js";
import { newId } from "../sojourn.js";

/** Whoever is named, once: by lines, commas or spaces. */
const named = (text) => [...new Set(text.split(/[\s,;]+/).filter(Boolean))];

function Progress({ done, total }) {
  return html`<div class="progress"><progress max=${total || 1} value=${done} aria-label="Users reached"></progress>
    <p role="status">${number(done)} of ${number(total)}</p></div>`;
}

function Outcome({ result }) {
  const failed = result.failed ?? [];
  const rows = [["in their open session", result.delivered], ["in a session reopened for it", result.reopened],
                ["in a new session", result.created], ["not reached", failed]];
  return html`
    <dl class="facts">${rows.map(([name, value]) => html`
      <div key=${name} class=${name === "not reached" && failed.length ? "bad" : ""}><dt>${name}</dt>
        <dd>${number(Array.isArray(value) ? value.length : value)}</dd></div>`)}</dl>
    ${failed.length > 0 && html`<details class="extra" open><summary>${count(failed.length, "user")} not reached</summary>
      <ul>${failed.slice(0, 200).map((each) => html`<li key=${each.user_id}><b>${each.user_id}</b> <span class="muted">${words(each.code)}</span></li>`)}</ul>
      ${failed.length > 200 && html`<p class="muted">and ${number(failed.length - 200)} more</p>`}</details>`}`;
}

export default function Broadcast() {
  const [people, setPeople] = useState("");
  const [text, setText] = useState("");
  const [state, setState] = useState({ kind: "idle" });
  const attempt = useRef(null);
  const users = named(people);
  const running = state.kind === "running";

  const send = async (event) => {
    event.preventDefault();
    if (running || !users.length || !text) return;
    const form = new FormData(event.target);
    const said = { text, channel: form.get("channel") || undefined, reopen: form.get("reopen") === "on" };
    // The same broadcast, asked for again after a failure, reaches nobody twice.
    const same = JSON.stringify([users, said]);
    if (attempt.current?.same !== same) attempt.current = { same, id: newId() };
    setState({ kind: "running", done: 0, total: users.length });
    try {
      for await (const { done, total, result } of broadcast(users.map((user_id) => ({ user_id })), said, attempt.current.id)) {
        setState(result ? { kind: "done", result } : { kind: "running", done, total });
      }
      attempt.current = null;
    } catch (error) {
      setState({ kind: "failed", error });
    }
  };
  return html`
    <div class="head"><h1>Broadcast</h1></div>
    <div class="columns">
      <section class="panel" aria-label="What to send">
        <form class="stack" onSubmit=${send}>
          <${Field} label="Users, by id: one a line, or with commas"><textarea rows="6" required value=${people}
            onInput=${(event) => setPeople(event.target.value)} placeholder="ada
grace"></textarea><//>
          <${Field} label="Message"><textarea rows="4" required value=${text} onInput=${(event) => setText(event.target.value)}></textarea><//>
          <${Field} label="Channel"><input name="channel" placeholder="http" autocomplete="off" /><//>
          <label class="check"><input type="checkbox" name="reopen" /> Reopen closed sessions</label>
          <div class="row"><p class="muted">${users.length ? `to ${count(users.length, "user")}` : ""}</p><span class="grow"></span>
            <button class="primary" disabled=${running || !users.length || !text}>${running ? "Sending…" : "Send"}</button></div>
        </form>
      </section>
      <${Panel} title="Progress">
        ${state.kind === "idle" && html`<${Empty} title="Nothing is under way">
          Each user's newest session gets the message; whoever has none gets a new one.<//>`}
        ${running && html`<${Progress} done=${state.done} total=${state.total} />`}
        ${state.kind === "done" && html`<p class="good-text" role="status">All were tried.</p><${Outcome} result=${state.result} />`}
        ${state.kind === "failed" && html`<${Failure} error=${state.error} />
          <p class="muted">Send again: nobody gets it twice.</p>`}
      <//>
    </div>`;
}
