/** Where one is: the part of the address behind #, as `#/sessions/ID?status=active`. Each view has an address. */
import { useEffect, useState } from "./dom.js";
import { withQuery } from "./api.js";

/** `{view, parts, query}` of an address; `now` where there is none. */
export function read(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const parts = path.split("/").filter(Boolean).map(unescaped);
  return { view: parts[0] ?? "now", parts: parts.slice(1), query: Object.fromEntries(new URLSearchParams(query)) };
}

function unescaped(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The address of a view. */
export const to = (view, parts = [], query = {}) =>
  withQuery(`#/${[view, ...parts].map(encodeURIComponent).join("/")}`, query);

export const toSession = (id, query = {}) => to("session", [id], query);

/** Go there; `replace` leaves no step behind for the back button. */
export function go(address, { replace = false } = {}) {
  if (replace) {
    history.replaceState(null, "", address);
    window.dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = address;
  }
}

export function useRoute() {
  const [route, setRoute] = useState(() => read(location.hash));
  useEffect(() => {
    const onChange = () => setRoute(read(location.hash));
    window.addEventListener("hashchange", onChange);
    return () => window.removeEventListener("hashchange", onChange);
  }, []);
  return route;
}
