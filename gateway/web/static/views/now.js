/** What is happening now: one map a second from the server, and the last two minutes of it as lines. */
import { follow, useAnswer } from "../api.js";
import { html, useEffect, useState } from "../dom.js";
import { compact, number, percent, span, words } from "../format.js";
import { Empty, Failure, Loading, Panel, Spark } from "../parts.js";
import { to } from "../router.js";
import { SessionRows } from "./session_rows.js";

const KEPT = 120;
/** Survives a look at another view. */
const past = [];

function useOverview() {
  const [state, setState] = useState({ latest: past.at(-1) ?? null, link: "waiting", error: null });
  useEffect(() => follow("/v1/overview/events", {
    onEvent: ({ data }) => {
      past.push(data);
      past.splice(0, past.length - KEPT);
      setState({ latest: data, link: "open", error: null });
    },
    onState: (link) => setState((before) =>
      (link instanceof Error ? { ...before, error: link } : { ...before, link })),
  }), []);
  return state;
}

const series = (read) => {
  const values = past.map(read);
  return [...Array(Math.max(0, KEPT - values.length)).fill(null), ...values];
};
const ms = (value) => (typeof value === "number" ? `${number(value)} ms` : "–");
const sum = (map) => Object.values(map ?? {}).reduce((total, value) => total + (value || 0), 0);

const Figure = ({ title, value, note, read }) => html`
  <section class="figure" aria-label=${title}>
    <h2>${title}</h2>
    <p class="value">${value}</p>
    <p class="note">${note}</p>
    <${Spark} values=${series(read)} label=${title} />
  </section>`;

/** Shares of a whole as one bar, and what they are. `rows`: `[name, tone, value, address]`. */
function Shares({ rows, label }) {
  const total = rows.reduce((all, row) => all + (row[2] || 0), 0);
  let at = 0;
  return html`
    <div class="shares">
      <svg viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label=${label}>
        ${rows.map(([name, tone, value]) => {
          const width = total ? ((value || 0) / total) * 100 : 0;
          const x = at;
          at += width;
          return html`<rect key=${name} class="fill ${tone}" x=${x} y="0" width=${Math.max(0, width - 0.4)} height="8" />`;
        })}
      </svg>
      <dl>
        ${rows.map(([name, tone, value, address]) => html`
          <div key=${name}>
            <dt><span class="dot ${tone}"></span>${address ? html`<a href=${address}>${name}</a>` : name}</dt>
            <dd>${number(value)} <span class="muted">${percent(total ? (value || 0) / total : 0)}</span></dd>
          </div>`)}
      </dl>
    </div>`;
}

const Facts = ({ rows }) => html`
  <dl class="facts">${rows.map(([name, value, bad]) => html`
    <div key=${name} class=${bad ? "bad" : ""}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;

function Newest() {
  const answer = useAnswer("/v1/sessions?limit=8");
  useEffect(() => {
    const timer = setInterval(() => document.hidden || answer.reload(), 5000);
    return () => clearInterval(timer);
  }, []);
  if (answer.error) return html`<${Failure} error=${answer.error} retry=${answer.reload} />`;
  if (!answer.data) return html`<${Loading} lines=${4} />`;
  if (answer.data.sessions.length === 0) {
    return html`<${Empty} title="No session yet">
      Talk to the server: <code>sojourn chat</code>, or fill it with real conversations: <code>sojourn demo</code>.<//>`;
  }
  return html`<${SessionRows} sessions=${answer.data.sessions} label="Newest sessions" />`;
}

export default function Now() {
  const { latest, link, error } = useOverview();
  if (error) return html`<div class="head"><h1>Now</h1></div><${Failure} error=${error} retry=${() => location.reload()} />`;
  const sessions = latest?.sessions ?? {};
  const handling = sessions.by_handling ?? {};
  const commit = latest?.commit_ms ?? {};
  return html`
    <div class="head">
      <h1>Now</h1>
      <span class="link ${link}" role="status">${link === "open" ? "live" : "connecting…"}</span>
      <div class="grow"></div>
      ${latest && html`<p>up for ${span(Math.floor(latest.uptime ?? 0))}</p>`}
    </div>
    ${latest === null ? html`<${Loading} lines=${8} />` : html`
      <div class="figures">
        <${Figure} title="Messages a second" value=${compact(latest.messages_per_second)}
          note="${compact(latest.messages_total)} since the start" read=${(each) => each.messages_per_second} />
        <${Figure} title="Active sessions" value=${compact(sessions.active)}
          note="${compact(latest.live)} in memory" read=${(each) => each.sessions?.active} />
        <${Figure} title="Commit latency" value=${ms(commit.p50)}
          note=${typeof commit.p50 === "number" ? `p99 ${ms(commit.p99)} · max ${ms(commit.max)}` : "nothing is being written"} read=${(each) => each.commit_ms?.p99} />
        <${Figure} title="Connections" value=${compact(latest.connections)}
          note="loop stall at most ${ms(latest.loop_stall_ms?.max)}" read=${(each) => each.connections} />
      </div>
      <div class="columns">
        <${Panel} title="Sessions by state">
          <${Shares} label="Sessions by state" rows=${[
            ["active", "good", sessions.active, to("sessions", [], { status: "active" })],
            ["closed", "warn", sessions.closed, to("sessions", [], { status: "closed" })],
            ["expired", "dim", sessions.expired, to("past", [], { status: "expired" })],
          ]} />
        <//>
        <${Panel} title="Active, by who answers">
          <${Shares} label="Active sessions by who answers" rows=${[
            ["AI", "info", handling.ai, to("sessions", [], { status: "active", handling: "ai" })],
            ["in a queue", "warn", handling.queued, to("desk")],
            ["human", "human", handling.human, to("sessions", [], { status: "active", handling: "human" })],
          ]} />
        <//>
        <${Panel} title="Expired since the start" aside=${html`<span class="muted">${number(sum(latest.expired))}</span>`}>
          <${Shares} label="Expiries by reason" rows=${["inactivity", "keep_alive", "max_lifetime"].map((reason, index) =>
            [words(reason), ["info", "warn", "dim"][index], latest.expired?.[reason]])} />
        <//>
      </div>
      <div class="inside">
        <${Panel} title="Inside">
          <${Facts} rows=${[
            ["commits a second", number(latest.commits_per_second)],
            ["changes a commit", number(latest.commit_batch?.mean)],
            ["timers due", number(latest.timers?.due)],
            ["timers late by", ms(latest.timers?.lateness_ms?.max ?? latest.timers?.lateness_ms)],
            ...Object.entries(latest.queue_depths ?? {}).map(([name, depth]) => [`queue: ${words(name)}`, number(depth)]),
            ["search is behind by", typeof latest.insights?.behind === "number" ? `${number(latest.insights.behind)} events` : "–"],
            ["dead letters", number(latest.dead_letters), latest.dead_letters > 0],
            ["restarts", number(latest.restarts), latest.restarts > 0],
          ]} />
        <//>
      </div>`}
    <${Panel} title="Newest sessions" kind="flush"
      aside=${html`<a href=${to("sessions")}>All sessions</a>`}><${Newest} /><//>`;
}
