/** The dashboard: the frame, where one is in it, and the view that is shown. */
import { html, render, useEffect, useRef, useState } from "./dom.js";
import { Failure, Icon, Loading } from "./parts.js";
import { to, useRoute } from "./router.js";

const VIEWS = {
  now: { title: "Now", load: () => import("./views/now.js"), inRail: true },
  sessions: { title: "Sessions", load: () => import("./views/sessions.js"), inRail: true },
  desk: { title: "Desk", load: () => import("./views/desk.js"), inRail: true },
  past: { title: "Past", load: () => import("./views/past.js"), inRail: true },
  charts: { title: "Charts", load: () => import("./views/charts.js"), inRail: true },
  broadcast: { title: "Broadcast", load: () => import("./views/broadcast.js"), inRail: true },
  session: { title: "Session", load: () => import("./views/session.js"), inRail: false },
};

const loaded = new Map();

/** The component of a view; null while it comes. */
function useView(name) {
  const [, draw] = useState(0);
  const known = loaded.get(name);
  useEffect(() => {
    if (known && !known.error) return;
    VIEWS[name].load().then(
      (module) => loaded.set(name, { view: module.default }),
      () => loaded.set(name, { error: { code: "unreachable", message: "This part of the page could not be loaded." } }),
    ).then(() => draw((n) => n + 1));
  }, [name]);
  return known ?? null;
}

/** Dark or light: the system's choice until one chooses; `theme.js` sets what was chosen when the page is loaded. */
function useTheme() {
  const [theme, setTheme] = useState(document.documentElement.dataset.theme);
  const dark = theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const flip = () => {
    const next = dark ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    localStorage.setItem("theme", next);
    setTheme(next);
  };
  return { dark, flip };
}

function Rail({ current }) {
  const { dark, flip } = useTheme();
  return html`
    <nav class="rail" aria-label="Views">
      <a class="brand" href=${to("now")}><img src="/static/icon.svg" alt="" />Sojourn</a>
      <ul>
        ${Object.entries(VIEWS).filter(([, view]) => view.inRail).map(([name, view]) => html`
          <li key=${name}><a href=${to(name)} aria-current=${name === current ? "page" : null}>
            <${Icon} name=${name} />${view.title}</a></li>`)}
      </ul>
      <div class="grow"></div>
      <div class="foot">
        <button class="plain small" onClick=${flip}><${Icon} name="theme" />${dark ? "Light" : "Dark"} colours</button>
        <a href="/docs">HTTP API</a>
      </div>
    </nav>`;
}

function App() {
  const route = useRoute();
  const name = VIEWS[route.view] ? route.view : "now";
  const shown = useView(name);
  const main = useRef(null);
  const first = useRef(true);
  useEffect(() => {
    document.title = `${VIEWS[name].title} · Sojourn`;
    // Who walks by keyboard or listens is put where the new view begins.
    if (!first.current) main.current.focus({ preventScroll: true });
    first.current = false;
    window.scrollTo(0, 0);
  }, [name]);
  const railed = name === "session" ? "sessions" : name;
  return html`
    <div class="frame">
      <a class="skip button" href="#main" onClick=${(event) => {
        event.preventDefault();
        main.current.focus();
      }}>To the content</a>
      <${Rail} current=${railed} />
      <main id="main" ref=${main} tabindex="-1">
        ${shown?.error && html`<${Failure} error=${shown.error} retry=${() => location.reload()} />`}
        ${shown === null && html`<${Loading} lines=${6} />`}
        ${shown?.view && html`<${shown.view} key=${name === "session" ? route.parts[0] : name} route=${route} />`}
      </main>
    </div>`;
}

const place = document.getElementById("app");
place.replaceChildren();
render(html`<${App} />`, place);
