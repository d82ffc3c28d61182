/** A session with its conversation, kept up by the server's events: `useTalk`. */
import { follow, get, Refused } from "../api.js";
import { useCallback, useEffect, useRef, useState } from "../dom.js";
import { heard, nothingKnown, opened, PAGE, withEarlier, withLater } from "../talk.js";

const of = (id) => `/v1/sessions/${encodeURIComponent(id)}`;

/** The events behind `after` up to `until`, in as many pages as the server makes of them. */
export async function range(id, after, until) {
  const events = [];
  for (let from = after; from < until;) {
    const page = await get(`${of(id)}/history`, { after_seq: from, limit: Math.min(1000, until - from) });
    events.push(...page.events.filter((event) => event.seq <= until));
    if (!page.more || page.events.length === 0) break;
    from = page.events.at(-1).seq;
  }
  return events;
}

/** at: the `seq` that is to be seen first; null: the newest. `{session, why, talk, link, error, …}`. */
export function useTalk(id, at = null) {
  const [session, setSession] = useState(null);
  const [why, setWhy] = useState(null);
  const [talk, setTalk] = useState(nothingKnown);
  const [link, setLink] = useState("waiting");
  const [error, setError] = useState(null);
  const [round, setRound] = useState(0);
  const latest = useRef(talk);
  latest.current = talk;

  const refresh = useCallback(async () => {
    try {
      const [one, reasons] = await Promise.all([get(of(id)), get(`${of(id)}/why`)]);
      setSession(one.session);
      setWhy(reasons.why ?? reasons);
    } catch (refused) {
      if (refused instanceof Refused && refused.status === 404) setError(refused);
    }
  }, [id]);

  useEffect(() => {
    let stop = () => {};
    let left = false;
    let soon = 0;
    const onEvent = ({ data: event }) => {
      setTalk((before) => heard(before, event));
      if (typeof event.seq !== "number" && event.type !== "session:expired") return;
      if (event.type === "session:expired") {
        // The truth is in the event; what is asked for afterwards can only say the same.
        setSession((before) => ({ ...before, status: "expired", expired_at: event.at, expiry_reason: event.reason }));
        stop();
        setLink("ended");
        if (event.reason === "erased") {
          setError(new Refused(404, "session_not_found", "This session has been erased."));
          return;
        }
      }
      clearTimeout(soon);
      soon = setTimeout(refresh, 120);
    };
    (async () => {
      try {
        const { session: one } = await get(of(id));
        const until = at === null ? one.seq : Math.min(one.seq, at + PAGE / 2);
        const after = Math.max(0, until - PAGE);
        const events = await range(id, after, until);
        if (left) return;
        setSession(one);
        setTalk(opened(events, after, until, one.seq));
        get(`${of(id)}/why`).then((answer) => left || setWhy(answer.why ?? answer), () => {});
        if (one.status === "expired") {
          setLink("ended");
          return;
        }
        stop = follow(`${of(id)}/events?after_seq=${one.seq}`, {
          onEvent,
          onState: (state) => (state instanceof Error ? refresh() : setLink(state)),
        });
      } catch (refused) {
        if (!left) setError(refused);
      }
    })();
    return () => {
      left = true;
      clearTimeout(soon);
      stop();
    };
  }, [id, round]);

  const move = async (after, until, change) => {
    const events = await range(id, after, until);
    setTalk((before) => change(before, events, after, until));
  };
  return {
    session, why, talk, link, error, refresh,
    retry: () => { setError(null); setRound((n) => n + 1); },
    onEarlier: () => {
      const { low } = latest.current;
      return move(Math.max(0, low - 1 - PAGE), low - 1, (before, events, after) => withEarlier(before, events, after));
    },
    onLater: () => {
      const { high, newest } = latest.current;
      return move(high, Math.min(newest, high + PAGE), (before, events, after, until) => withLater(before, events, until));
    },
    onNewest: () => {
      const { newest } = latest.current;
      return move(Math.max(0, newest - PAGE), newest, (before, events, after, until) =>
        ({ ...opened(events, after, until, before.newest), writing: before.writing }));
    },
  };
}
