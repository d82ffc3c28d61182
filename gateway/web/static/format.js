/** Numbers, spans and instants as text. Instants are Unix time in seconds, spans are seconds. */

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const hundredths = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const exactly = new Intl.DateTimeFormat("en-GB", {
  weekday: "short", day: "numeric", month: "short", year: "numeric",
  hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
});

export const NOTHING = "–";

/** A number as people read it: 12,345 or 0.42; a dash where there is none. */
export function number(value) {
  if (typeof value !== "number" || !Number.isFinite(value)) return NOTHING;
  const size = Math.abs(value);
  return (size >= 100 || Number.isInteger(value) ? whole : size >= 10 ? tenths : hundredths).format(value);
}

/** A number where there is little room: 12.3K. */
export function compact(value) {
  if (typeof value !== "number" || !Number.isFinite(value)) return NOTHING;
  return Math.abs(value) < 10_000 ? number(value) : short.format(value);
}

/** A share from 0 to 1 as a percentage. */
export const percent = (value) => (typeof value === "number" ? `${tenths.format(value * 100)} %` : NOTHING);

/** A span in its two largest units: 45 s, 3 min 05 s, 2 h 10 min, 4 d 3 h. */
export function span(seconds) {
  if (typeof seconds !== "number" || !Number.isFinite(seconds)) return NOTHING;
  if (seconds < 0) return `−${span(-seconds)}`;
  if (seconds < 1 && seconds > 0) return `${whole.format(seconds * 1000)} ms`;
  const total = Math.round(seconds);
  if (total < 60) return seconds < 10 && !Number.isInteger(seconds) ? `${tenths.format(seconds)} s` : `${total} s`;
  const pair = (large, name, small, other) => (small ? `${large} ${name} ${small} ${other}` : `${large} ${name}`);
  if (total < 3600) return pair(Math.floor(total / 60), "min", total % 60, "s");
  if (total < 86_400) return pair(Math.floor(total / 3600), "h", Math.floor((total % 3600) / 60), "min");
  return pair(whole.format(Math.floor(total / 86_400)), "d", Math.floor((total % 86_400) / 3600), "h");
}

/** A span that has gone by, for one who glances: "now", 12 s, 5 min, 3 h, 4 d. */
export function roughly(seconds) {
  const past = Math.max(0, seconds);
  if (past < 1) return "now";
  if (past < 60) return `${Math.floor(past)} s`;
  if (past < 3600) return `${Math.floor(past / 60)} min`;
  if (past < 86_400) return `${Math.floor(past / 3600)} h`;
  return `${whole.format(Math.floor(past / 86_400))} d`;
}

export const timeOfDay = (at) => clock.format(at * 1000);
export const date = (at) => day.format(at * 1000);
export const exact = (at) => exactly.format(at * 1000);
export const iso = (at) => new Date(at * 1000).toISOString();

/** What a count is of: "1 message", "2 messages". */
export const count = (n, noun) => `${number(n)} ${noun}${n === 1 ? "" : "s"}`;

/** What to call a session's user. */
export function nameOf(session) {
  const user = session?.user ?? {};
  return String(user.display_name || user.user_id || session?.user_id || "somebody");
}

/** A code of the wire as words: `max_lifetime` → "max lifetime". */
export const words = (code) => String(code ?? "").replaceAll("_", " ");
