/** A table of sessions as they are at this moment. On a phone each row is a card. */
import { html } from "../dom.js";
import { nameOf, number } from "../format.js";
import { Badge, Countdown, When } from "../parts.js";
import { toSession } from "../router.js";

const COLUMNS = [["User"], ["State"], ["Channel"], ["Events", "end"], ["Last activity"], ["Started"], ["Expires in"]];

function Row({ session }) {
  const ended = session.status === "expired";
  return html`
    <tr>
      <th scope="row"><a class="name" dir="auto" title=${nameOf(session)} href=${toSession(session.session_id)}>${nameOf(session)}</a>
        <span class="mono muted id">${session.session_id}</span></th>
      <td><${Badge} of=${session.status} />${session.status === "active" && html` <${Badge} of=${session.handling} />`}
        ${session.assignee && session.status === "active" && html` <span class="muted">${session.assignee}</span>`}
        ${session.queue && session.handling === "queued" && html` <span class="muted">${session.queue}</span>`}</td>
      <td data-label="Channel" title=${session.channel}>${session.channel}</td>
      <td data-label="Events" class="end">${number(session.seq)}</td>
      <td data-label="Last activity"><${When} at=${session.last_activity_at} /></td>
      <td data-label="Started"><${When} at=${session.created_at} /></td>
      <td data-label=${ended ? "Expired" : "Expires in"}>${ended
        ? html`<${When} at=${session.expired_at} />` : html`<${Countdown} at=${session.expires_at} />`}</td>
    </tr>`;
}

/** sessions: session maps, in the server's order: it pages through any number of them by when they began. */
export const SessionRows = ({ sessions, label }) => html`
  <div class="table-room"><table class="cards">
    <caption class="unseen">${label}</caption>
    <thead><tr>${COLUMNS.map(([title, side]) => html`<th key=${title} scope="col" class=${side ?? ""}>${title}</th>`)}</tr></thead>
    <tbody>${sessions.map((session) => html`<${Row} key=${session.session_id} session=${session} />`)}</tbody>
  </table></div>`;
