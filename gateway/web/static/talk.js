/**
 * One conversation as far as this page knows it: a window of its events, which is moved, and never the whole of a long one.
 *
 * The window is gapless from `low` to `high`. What happens live is appended while the window reaches the newest event;
 * where it does not, `newest` alone moves. Values that are replaced, so that they can be drawn again; no I/O.
 */

/** Events in the window at most: what a browser draws at once without thinking about it. */
export const MOST = 600;
/** Events that are asked for at once. */
export const PAGE = 200;

export const nothingKnown = { events: [], low: 1, high: 0, newest: 0, writing: {}, composing: null };

/** The window that holds exactly these events, from behind `after` to `until`. */
export function opened(events, after, until, newest) {
  return { ...nothingKnown, events, low: after + 1, high: until, newest: Math.max(until, newest) };
}

/** With an earlier page in front; its far end is dropped where there is too much. */
export function withEarlier(talk, events, after) {
  const all = [...events, ...talk.events];
  const kept = all.slice(0, MOST);
  return { ...talk, events: kept, low: after + 1, high: kept.length < all.length ? kept.at(-1).seq : talk.high };
}

/** With a later page behind. */
export function withLater(talk, events, until) {
  const known = events.filter((event) => event.seq > talk.high);
  const all = [...talk.events, ...known];
  const kept = all.slice(-MOST);
  return { ...talk, events: kept, low: kept.length < all.length ? kept[0].seq : talk.low,
           high: Math.max(talk.high, until), newest: Math.max(talk.newest, until) };
}

/** With what was heard live: durable events have a `seq` and stand once; the others are about this moment only. */
export function heard(talk, event) {
  if (event.type === "message:delta") {
    const pieces = [...(talk.writing[event.message_id] ?? [])];
    pieces[event.index] = event.text;
    return { ...talk, writing: { ...talk.writing, [event.message_id]: pieces }, composing: null };
  }
  if (event.type === "message:composing") {
    return { ...talk, composing: event.action === "start" ? event.by : null };
  }
  if (typeof event.seq !== "number" || event.seq <= talk.high) return talk;
  const { [event.message_id]: _, ...writing } = talk.writing;
  const next = { ...talk, writing, newest: Math.max(talk.newest, event.seq),
                 composing: event.type === "message:received" ? null : talk.composing };
  return event.seq === talk.high + 1 ? withLater(next, [event], event.seq) : next;
}

/** What has happened that is no message, as one sentence; null for a message. */
export function sentence(event) {
  const by = event.by ? ` by ${event.by.id ?? ({ ai: "the AI", system: "the server" })[event.by.role] ?? `the ${event.by.role}`}` : "";
  const why = event.reason ? `: ${String(event.reason).replaceAll("_", " ")}` : "";
  const note = event.note ? ` “${event.note}”` : "";
  switch (event.type) {
    case "message:received": return null;
    case "session:created": return `Started on ${event.channel}${by}`;
    case "session:context:updated": return `Context ${Object.entries(event.patch ?? {})
      .map(([key, value]) => (value === null ? `− ${key}` : `${key} = ${JSON.stringify(value)}`)).join(", ")}${by}`;
    case "session:closed": return `Closed${by}${why}`;
    case "session:reopened": return `Reopened${by}`;
    case "session:handed_over": return `Waits for a human${event.queue ? ` in ${event.queue}` : ""}${by}${why}${note}`;
    case "session:assigned": return `${event.assignee} has it`;
    case "session:released": return `Back to the AI${by}${why}${note}`;
    case "session:rated": return `Rated ${"★".repeat(event.rating)}${"☆".repeat(5 - event.rating)}${
      event.feedback ? ` “${event.feedback}”` : ""}`;
    case "session:tagged": return `Tags: ${(event.tags ?? []).join(", ") || "none"}${by}`;
    case "session:expired": return `Expired${why}`;
    case "dialog:expired": return "The AI's memory of the talk lapsed";
    case "reminder:set": return `Reminder ${event.name} set${by}`;
    case "reminder:cancelled": return `Reminder ${event.name} cancelled${by}`;
    case "reminder:fired": return `Reminder ${event.name} fired`;
    case "message:failed": return `The answer failed: ${event.message ?? event.code}`;
    default: return event.type;
  }
}
