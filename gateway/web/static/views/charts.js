/** Charts over a period that one chooses: what was opened and how it ended, how long it took, how it was liked. */
import { useAnswer, withQuery } from "../api.js";
import { now } from "../clock.js";
import { html, useMemo } from "../dom.js";
import { count, NOTHING, number, percent, span } from "../format.js";
import { Answered, Choice, Empty, Field, Panel } from "../parts.js";
import { Plot, thousands } from "../plot.js";
import { go, to } from "../router.js";

const PERIODS = { day: ["24 hours", 86_400, "hour"], week: ["7 days", 7 * 86_400, "day"], month: ["30 days", 30 * 86_400, "day"],
                  quarter: ["90 days", 90 * 86_400, "day"], year: ["A year", 365 * 86_400, "week"], own: ["From – until", null, "day"] };
const BUCKETS = { hour: ["Hours", 3600], day: ["Days", 86_400], week: ["Weeks", 7 * 86_400], month: ["Months", 30 * 86_400] };

const begin = (day) => {
  const at = day ? new Date(`${day}T00:00:00`).getTime() / 1000 : NaN;
  return Number.isFinite(at) ? at : null;
};

/** One number of the whole period, or its middle and its slow tenth. */
const Summary = ({ title, value, note }) => html`
  <section class="figure flat" aria-label=${title}><h2>${title}</h2><p class="value">${value}</p><p class="note">${note ?? ""}</p></section>`;

const spread = (found) => (found?.p50 == null ? [NOTHING, ""] : [span(found.p50), `9 of 10 within ${span(found.p90)}`]);

function Ratings({ ratings }) {
  const rows = [5, 4, 3, 2, 1].map((stars) => [stars, ratings?.[stars] ?? 0]);
  const most = Math.max(...rows.map((row) => row[1]), 1);
  const total = rows.reduce((sum, row) => sum + row[1], 0);
  const mean = total ? rows.reduce((sum, [stars, votes]) => sum + stars * votes, 0) / total : null;
  return html`
    <${Panel} title="Ratings" aside=${html`<span class="muted">${total ? `${number(Math.round(mean * 100) / 100)} of 5 on average` : ""}</span>`}>
      ${total === 0 ? html`<p class="muted">Nobody has rated a session in this period.</p>` : html`
      <ul class="ratings">${rows.map(([stars, votes]) => html`
        <li key=${stars}><span class="stars" aria-label="${stars} of 5" role="img">${"★".repeat(stars)}</span>
          <svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"><rect class="fill track" width="100" height="8" />
            <rect class="fill info" width=${(votes / most) * 100} height="8" /></svg>
          <span class="end">${number(votes)}</span></li>`)}</ul>`}
    <//>`;
}

function Drawn({ stats, bucket }) {
  const { buckets, summary = {} } = stats;
  // The very arrays are kept from one drawing to the next: a chart is made anew where they are others.
  const drawn = useMemo(() => {
    const row = (name, tone, key) =>
      ({ name, tone, colour: `--fill-${tone}`, values: buckets.map((each) => each[key] ?? null) });
    return {
      at: buckets.map((each) => each.at),
      opened: [row("opened", "info", "opened"), row("closed", "warn", "closed"), row("resolved", "good", "resolved")],
      expired: [row("inactivity", "info", "expired_inactivity"), row("keep alive", "warn", "expired_keep_alive"),
                row("max lifetime", "bad", "expired_max_lifetime")],
      messages: [row("messages", "human", "messages")],
    };
  }, [stats]);
  const [length, lengthNote] = spread(summary.length);
  const [first, firstNote] = spread(summary.first_answer);
  const [wait, waitNote] = spread(summary.handover_wait);
  const opened = buckets.reduce((sum, each) => sum + (each.opened || 0), 0);
  if (!buckets.some((each) => Object.entries(each).some(([key, value]) => key !== "at" && value > 0))) {
    return html`<section class="panel"><${Empty} title="Nothing happened in this period">Choose a longer one.<//></section>`;
  }
  return html`
    <div class="figures many">
      <${Summary} title="Sessions opened" value=${number(opened)}
        note=${count(buckets.reduce((sum, each) => sum + (each.messages || 0), 0), "message")} />
      <${Summary} title="Resolved without a human" value=${percent(summary.share_without_human)} />
      <${Summary} title="Time to first answer" value=${first} note=${firstNote} />
      <${Summary} title="Wait for a human" value=${wait} note=${waitNote} />
      <${Summary} title="Length" value=${length} note=${lengthNote} />
      <${Summary} title="Messages a session" value=${number(summary.messages_a_session)} />
    </div>
    <div class="columns charts">
      <section class="panel"><${Plot} title="Sessions" at=${drawn.at} series=${drawn.opened} show=${thousands} bucket=${bucket} /></section>
      <section class="panel"><${Plot} title="Expired, by reason" stack=${true} at=${drawn.at} series=${drawn.expired} show=${thousands} bucket=${bucket} /></section>
      <section class="panel"><${Plot} title="Messages" stack=${true} at=${drawn.at} series=${drawn.messages} show=${thousands} bucket=${bucket} /></section>
      <${Ratings} ratings=${summary.ratings} />
    </div>`;
}

export default function Charts({ route }) {
  const period = PERIODS[route.query.period] ? route.query.period : "week";
  const [, length, usual] = PERIODS[period];
  const bucket = BUCKETS[route.query.bucket] ? route.query.bucket : usual;
  // To the minute: the same address asks the same question for a while.
  const end = Math.ceil(now() / 60) * 60;
  const [since, until] = useMemo(() => (length === null
    ? [begin(route.query.since), begin(route.query.until) === null ? null : begin(route.query.until) + 86_400]
    : [end - length, end]), [period, route.query.since, route.query.until]);
  const answer = useAnswer(withQuery("/v1/stats", { since, until, bucket }));
  const change = (changes) => go(to("charts", [], { ...route.query, ...changes }), { replace: true });
  return html`
    <link rel="stylesheet" href="/static/vendor/uplot.css" />
    <div class="head"><h1>Charts</h1><div class="grow"></div><button onClick=${answer.reload}>Refresh</button></div>
    <div class="filters">
      <${Field} label="Period"><${Choice} value=${period} onValue=${(value) => change({ period: value, bucket: "" })}
        options=${Object.entries(PERIODS).map(([key, [name]]) => [key, name])} /><//>
      ${period === "own" && html`
        <${Field} label="From"><input type="date" value=${route.query.since ?? ""} onChange=${(event) => change({ since: event.target.value })} /><//>
        <${Field} label="Until"><input type="date" value=${route.query.until ?? ""} onChange=${(event) => change({ until: event.target.value })} /><//>`}
      <${Field} label="In"><${Choice} value=${bucket} onValue=${(value) => change({ bucket: value })}
        options=${Object.entries(BUCKETS).map(([key, [name]]) => [key, name])} /><//>
    </div>
    <div aria-busy=${answer.loading}>
      <${Answered} answer=${answer} lines=${12}>${(stats) => html`<${Drawn} stats=${stats} bucket=${BUCKETS[bucket][1]} />`}<//>
    </div>`;
}
