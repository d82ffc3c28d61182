/** A table of sessions as they are at this moment. On a phone each row is a card. */
import { html, useState } from "../dom.js";
import { nameOf } from "../format.js";
import { Badge, Countdown, When } from "../parts.js";
import { toSession } from "../router.js";

const COLUMNS = [
  ["user", "User", (session) => nameOf(session).toLowerCase()],
  ["status", "State", (session) => session.status + session.handling],
  ["channel", "Channel", (session) => session.channel],
  ["seq", "Events", (session) => session.seq, "end"],
  ["last", "Last activity", (session) => session.last_activity_at],
  ["created", "Started", (session) => session.created_at],
  ["expires", "Expires in", (session) => (session.status === "expired" ? -1 : session.expires_at ?? Infinity)],
];

const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

function Row({ session }) {
  const ended = session.status === "expired";
  return html`
    <tr>
      <th scope="row"><a class="name" href=${toSession(session.session_id)}>${nameOf(session)}</a>
        <span class="mono muted id">${session.session_id}</span></th>
      <td><${Badge} of=${session.status} />${session.status === "active" && html` <${Badge} of=${session.handling} />`}
        ${session.assignee && session.status === "active" && html` <span class="muted">${session.assignee}</span>`}
        ${session.queue && session.handling === "queued" && html` <span class="muted">${session.queue}</span>`}</td>
      <td data-label="Channel">${session.channel}</td>
      <td data-label="Events" class="end">${session.seq}</td>
      <td data-label="Last activity"><${When} at=${session.last_activity_at} /></td>
      <td data-label="Started"><${When} at=${session.created_at} /></td>
      <td data-label=${ended ? "Expired" : "Expires in"}>${ended
        ? html`<${When} at=${session.expired_at} />` : html`<${Countdown} at=${session.expires_at} />`}</td>
    </tr>`;
}

/** sessions: session maps. sortable: let people order what is on this page. */
export function SessionRows({ sessions, label, sortable = false }) {
  const [order, setOrder] = useState(null);
  const column = order && COLUMNS.find((each) => each[0] === order.by);
  const shown = column
    ? [...sessions].sort((a, b) => compare(column[2](a), column[2](b)) * (order.down ? -1 : 1)) : sessions;
  return html`
    <div class="table-room"><table class="cards">
      <caption class="unseen">${label}</caption>
      <thead><tr>${COLUMNS.map(([key, title, , side]) => {
        const sorted = order?.by === key ? (order.down ? "descending" : "ascending") : null;
        return html`<th key=${key} scope="col" class=${side ?? ""} aria-sort=${sorted}>${sortable
          ? html`<button class="sort" title="Sorts what is on this page"
              onClick=${() => setOrder(sorted === "descending" ? null : { by: key, down: sorted === "ascending" })}>
              ${title}<span aria-hidden="true">${sorted ? (order.down ? " ↓" : " ↑") : ""}</span></button>`
          : title}</th>`;
      })}</tr></thead>
      <tbody>${shown.map((session) => html`<${Row} key=${session.session_id} session=${session} />`)}</tbody>
    </table></div>`;
}
