/** All sessions as they are at this moment, newest first, a page at a time: the server holds any number of them. */
import { useAnswer, withQuery } from "../api.js";
import { html, useState } from "../dom.js";
import { Answered, Choice, Empty, Field, Pager, Typed } from "../parts.js";
import { go, to } from "../router.js";
import { SessionRows } from "./session_rows.js";

const PAGE = 50;
const FILTERS = ["status", "handling", "user_id", "channel", "queue"];

export default function Sessions({ route }) {
  const filters = Object.fromEntries(FILTERS.map((key) => [key, route.query[key] ?? ""]));
  const filtered = FILTERS.some((key) => filters[key]);
  const wanted = withQuery("/v1/sessions", filters);
  // The cursors of the pages before this one belong to one set of filters.
  const [trail, setTrail] = useState({ wanted, cursors: [] });
  const cursors = trail.wanted === wanted ? trail.cursors : [];
  const answer = useAnswer(withQuery("/v1/sessions", { ...filters, limit: PAGE, cursor: cursors.at(-1) }));
  const set = (key) => (value) => go(to("sessions", [], { ...filters, [key]: value }), { replace: true });
  return html`
    <div class="head">
      <h1>Sessions</h1>
      <div class="grow"></div>
      <form class="seek" role="search" onSubmit=${(event) => {
        event.preventDefault();
        go(to("past", [], { q: new FormData(event.target).get("q") }));
      }}><input name="q" type="search" placeholder="Search all messages" aria-label="Search all messages" />
      <button>Search</button></form>
      <button onClick=${answer.reload}>Refresh</button>
    </div>
    <div class="filters">
      <${Field} label="State"><${Choice} value=${filters.status} onValue=${set("status")} all="All"
        options=${[["active", "Active"], ["closed", "Closed"], ["expired", "Expired"]]} /><//>
      <${Field} label="Answered by"><${Choice} value=${filters.handling} onValue=${set("handling")} all="Anybody"
        options=${[["ai", "AI"], ["queued", "In a queue"], ["human", "Human"]]} /><//>
      <${Field} label="User id"><${Typed} value=${filters.user_id} onValue=${set("user_id")} placeholder="exactly" /><//>
      <${Field} label="Channel"><${Typed} value=${filters.channel} onValue=${set("channel")} placeholder="tcp, web, …" /><//>
      <${Field} label="Queue"><${Typed} value=${filters.queue} onValue=${set("queue")} /><//>
      ${filtered && html`<button class="plain" onClick=${() => go(to("sessions"), { replace: true })}>Clear</button>`}
      <p class="order note">Newest first. <a href=${to("past", [], { ...filters, sort: "messages" })}>Sort by messages, length, rating</a></p>
    </div>
    <section class="panel flush" aria-label="Sessions" aria-busy=${answer.loading}>
      <${Answered} answer=${answer} lines=${12}>${(page) => (page.sessions.length === 0
        ? html`<${Empty} title=${filtered ? "No session is like that" : "No session yet"}>${filtered
          ? "Try fewer filters, or look among the past ones."
          : html`Talk to the server: <code>sojourn chat</code>, or fill it with real conversations: <code>sojourn demo</code>.`}<//>`
        : html`<${SessionRows} sessions=${page.sessions} label="Sessions, newest first" />
          <${Pager} shown=${page.sessions.length} first=${cursors.length * PAGE}
            onBack=${cursors.length ? () => setTrail({ wanted, cursors: cursors.slice(0, -1) }) : null}
            onNext=${page.cursor ? () => setTrail({ wanted, cursors: [...cursors, page.cursor] }) : null} />`)}<//>
    </section>`;
}
