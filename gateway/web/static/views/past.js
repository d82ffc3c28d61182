/** What was: sessions by their facts, and messages by their words. Both come from the search index, a moment behind. */
import { useAnswer, withQuery } from "../api.js";
import { html, useEffect, useState } from "../dom.js";
import { count, nameOf, number, span, words } from "../format.js";
import { Answered, Badge, Building, Choice, Empty, Field, Pager, Typed, When } from "../parts.js";
import { go, to, toSession } from "../router.js";

const PAGE = 50;
/** Messages found are read, not scanned: fewer a page. */
const HITS = 25;
const FILTERS = ["q", "status", "handling", "user_id", "channel", "tag", "rating", "author", "since", "until"];
const AUTHORS = [["user", "User"], ["ai", "AI"], ["human", "Human"], ["system", "System"]];

/** A day as typed becomes the instant at which it begins here, or ends. */
const instant = (day, end) => {
  const at = day ? new Date(`${day}T00:00:00`).getTime() / 1000 : NaN;
  return Number.isFinite(at) ? at + (end ? 86_400 : 0) : null;
};

const COLUMNS = [
  [null, "User"], [null, "State"], [null, "Channel"], ["created_at", "Started"], ["length", "Length"],
  ["messages", "Messages"], [null, "First answer"], ["rating", "Rating"], [null, "Tags"],
];

const Stars = ({ rating }) => (rating
  ? html`<span class="stars" role="img" aria-label="${rating} of 5">${"★".repeat(rating)}<span class="muted">${"☆".repeat(5 - rating)}</span></span>`
  : html`<span class="muted">–</span>`);

function Fact({ each }) {
  return html`
    <tr>
      <th scope="row"><a class="name" dir="auto" title=${nameOf(each)} href=${toSession(each.session_id)}>${nameOf(each)}</a>
        <span class="mono muted id">${each.session_id}</span></th>
      <td><${Badge} of=${each.status} /> <span class="muted">${words(each.reason)}</span></td>
      <td data-label="Channel" title=${each.channel}>${each.channel}</td>
      <td data-label="Started"><${When} at=${each.created_at} /></td>
      <td data-label="Length" class="end">${span(each.length)}</td>
      <td data-label="Messages" class="end">${number(each.messages)}</td>
      <td data-label="First answer" class="end">${span(each.first_answer)}</td>
      <td data-label="Rating" class=${each.rating ? "" : "none"}><${Stars} rating=${each.rating} /></td>
      <td data-label="Tags">${(each.tags ?? []).map((tag) => html`<span class="tag" key=${tag}>${tag}</span> `)}</td>
    </tr>`;
}

function Facts({ page, query, sort }) {
  const column = query.sort ?? "created_at";
  const up = query.order === "asc";
  return html`
    <div class="table-room"><table class="cards">
      <caption class="unseen">Past sessions</caption>
      <thead><tr>${COLUMNS.map(([key, title]) => html`
        <th scope="col" key=${title} class=${["length", "messages"].includes(key) || title === "First answer" ? "end" : ""}
          aria-sort=${key === column ? (up ? "ascending" : "descending") : null}>
          ${key === null ? title : html`<button class="sort" onClick=${() => sort(key, key === column && !up ? "asc" : "desc")}>${title}<span
            aria-hidden="true">${key === column ? (up ? " ↑" : " ↓") : ""}</span></button>`}</th>`)}</tr></thead>
      <tbody>${page.sessions.map((each) => html`<${Fact} key=${each.session_id} each=${each} />`)}</tbody>
    </table></div>`;
}

function Hit({ hit }) {
  return html`
    <li><a class="hit" href=${toSession(hit.session_id, { at: hit.seq })}>
      <span class="hit-head"><b dir="auto">${hit.user_id ?? "somebody"}</b> <${Badge} of=${hit.status} />
        <span class="muted">${words(hit.author)} · ${hit.channel} · <${When} at=${hit.at} /></span></span>
      <span class="snippet" dir="auto">${(hit.snippet ?? []).map(([text, found]) => (found ? html`<mark>${text}</mark>` : text))}</span>
    </a></li>`;
}

/** Events of more than a moment: the index is not only behind, it is being filled. */
const MANY = 5000;
/** Seconds until one sees how far it has come. */
const ASK_AGAIN = 2;

const isBuilt = (page) => !(page.behind > MANY);

function Behind({ page, reload, always }) {
  const building = !isBuilt(page);
  useEffect(() => {
    if (!building) return undefined;
    const timer = setTimeout(reload, ASK_AGAIN * 1000);
    return () => clearTimeout(timer);
  }, [page]);
  if (building) return html`<${Building} behind=${page.behind} />`;
  return always && page.behind > 0
    ? html`<p class="note" role="status">The newest ${count(page.behind, "event")} are not searchable yet.</p>` : null;
}

export default function Past({ route }) {
  const query = Object.fromEntries(Object.entries(route.query).filter(([key, value]) =>
    value && [...FILTERS, "sort", "order"].includes(key)));
  const searching = Boolean(query.q);
  const filters = {
    user_id: query.user_id, channel: query.channel, status: query.status, handling: query.handling, tag: query.tag, rating: query.rating,
    since: instant(query.since), until: instant(query.until, true), limit: searching ? HITS : PAGE,
  };
  const wanted = searching ? withQuery("/v1/search", { q: query.q, author: query.author, ...filters })
    : withQuery("/v1/past", { ...filters, sort: query.sort ?? "created_at", order: query.order ?? "desc" });
  const [trail, setTrail] = useState({ wanted, cursors: [] });
  const cursors = trail.wanted === wanted ? trail.cursors : [];
  const cursor = cursors.at(-1);
  const answer = useAnswer(cursor ? `${wanted}&cursor=${encodeURIComponent(cursor)}` : wanted);
  const change = (changes) => go(to("past", [], { ...query, ...changes }), { replace: true });
  const set = (key) => (value) => change({ [key]: value });
  const filtered = FILTERS.some((key) => query[key]);
  const pager = (shown, page) => html`
    <${Pager} shown=${shown} total=${page.total} first=${cursors.length * (searching ? HITS : PAGE)}
      onBack=${cursors.length ? () => setTrail({ wanted, cursors: cursors.slice(0, -1) }) : null}
      onNext=${page.cursor ? () => setTrail({ wanted, cursors: [...cursors, page.cursor] }) : null} />`;
  return html`
    <div class="head"><h1>Past</h1><div class="grow"></div>
      ${filtered && html`<button class="plain" onClick=${() => go(to("past"), { replace: true })}>Clear all</button>`}</div>
    <div class="search-box" role="search">
      <${Typed} type="search" class="big" value=${query.q ?? ""} onValue=${set("q")} autocomplete="off"
        placeholder="Search what was said" aria-label="Search what was said" />
    </div>
    <div class="filters">
      <${Field} label="State"><${Choice} value=${query.status} onValue=${set("status")} all="All"
        options=${[["active", "Active"], ["closed", "Closed"], ["expired", "Expired"]]} /><//>
      <${Field} label="Answered by"><${Choice} value=${query.handling} onValue=${set("handling")} all="Anybody"
        options=${[["ai", "AI"], ["queued", "In a queue"], ["human", "Human"]]} /><//>
      <${Field} label="User id"><${Typed} value=${query.user_id} onValue=${set("user_id")} placeholder="exactly" /><//>
      <${Field} label="Channel"><${Typed} value=${query.channel} onValue=${set("channel")} /><//>
      <${Field} label="Tag"><${Typed} value=${query.tag} onValue=${set("tag")} /><//>
      <${Field} label="Rating"><${Choice} value=${query.rating} onValue=${set("rating")} all="Any"
        options=${[5, 4, 3, 2, 1].map((stars) => [String(stars), `${stars} of 5`])} /><//>
      ${searching && html`<${Field} label="Said by"><${Choice} value=${query.author} onValue=${set("author")} all="Anybody"
        options=${AUTHORS} /><//>`}
      <${Field} label="From"><input type="date" value=${query.since ?? ""} onChange=${(event) => change({ since: event.target.value })} /><//>
      <${Field} label="Until"><input type="date" value=${query.until ?? ""} onChange=${(event) => change({ until: event.target.value })} /><//>
    </div>
    <section class="panel flush" aria-label=${searching ? "Messages found" : "Past sessions"} aria-busy=${answer.loading}>
      <${Answered} key=${searching} answer=${answer.data && (searching ? answer.data.hits : answer.data.sessions) ? answer : { ...answer, data: null }}
        lines=${10}>${(page) => (searching
        ? html`<${Behind} page=${page} reload=${answer.reload} always />${page.hits.length === 0
            ? !isBuilt(page) ? null : html`<${Empty} title="Nobody said that">Try fewer words, or the beginning of one with a star: <code>refund*</code>.<//>`
            : html`<ul class="hits">${page.hits.map((hit) => html`<${Hit} key="${hit.session_id}/${hit.seq}" hit=${hit} />`)}</ul>
              ${pager(page.hits.length, page)}`}`
        : html`<${Behind} page=${page} reload=${answer.reload} />${page.sessions.length === 0
          ? !isBuilt(page) ? null : html`<${Empty} title=${filtered ? "No session was like that" : "Nothing has been yet"}>${filtered
            ? "Try fewer filters." : "Sessions come here a moment after they begin."}<//>`
          : html`<${Facts} page=${page} query=${query} sort=${(sort, order) => change({ sort, order })} />
            ${pager(page.sessions.length, page)}`}`)}<//>
    </section>`;
}
