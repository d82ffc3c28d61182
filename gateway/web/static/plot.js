/** Charts over time, on uPlot: lines, or bars that stand on one another. Colours are the design system's, as they are now. */
import { html, useEffect, useRef, useState } from "./dom.js";
import { compact, date, number, timeOfDay } from "./format.js";
import uPlot from "./vendor/uplot.js";

const HEIGHT = 190;
/** Steps of an axis that counts: nobody opens half a session. */
const WHOLE = Array.from({ length: 13 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();

/** Draw again when the colours change: a canvas knows nothing of style sheets. */
function useColours() {
  const [, draw] = useState(0);
  useEffect(() => {
    const again = () => draw((n) => n + 1);
    const media = matchMedia("(prefers-color-scheme: dark)");
    const watcher = new MutationObserver(again);
    media.addEventListener("change", again);
    watcher.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => {
      media.removeEventListener("change", again);
      watcher.disconnect();
    };
  }, []);
}

/** The value of a colour such as `--good`: `light-dark()` is settled by asking an element that has it. */
function colour(name, room) {
  const probe = room.appendChild(document.createElement("i"));
  probe.style.color = `var(${name})`;
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

const known = (values) => values.map((value) => (typeof value === "number" ? value : null));

/** What is drawn: the sums from below where bars are stacked, so that the last series is drawn in front. */
function stacked(rows) {
  const sums = rows[0].map(() => 0);
  return rows.map((row) => row.map((value, index) => (sums[index] += value ?? 0))).reverse();
}

/**
 * at: the instants of the buckets. series: `{name, colour, values}`, the lowest first. show: how a value is written.
 * The same numbers stand in a table for those who do not see the picture.
 */
export function Plot({ title, at, series, stack = false, show = number, bucket }) {
  const room = useRef(null);
  const [under, setUnder] = useState(null);
  useColours();
  useEffect(() => {
    const paint = (name) => colour(name, room.current);
    const grid = { stroke: paint("--line"), width: 1 };
    const axis = { stroke: paint("--muted"), grid, ticks: { show: false }, font: "12px system-ui", gap: 6 };
    const shown = stack ? [...series].reverse() : series;
    const rows = stack ? stacked(series.map((each) => known(each.values))) : series.map((each) => known(each.values));
    // A lone bucket has no width of its own: an axis of one instant would divide by nothing.
    const half = bucket / 2;
    const plot = new uPlot({
      width: Math.max(200, room.current.clientWidth), height: HEIGHT, padding: [10, 8, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
      scales: { x: { range: () => [at[0] - half, at.at(-1) + half] }, y: { range: (_, low, high) => [0, (high || 1) * 1.08] } },
      axes: [{ ...axis, grid: { show: false }, space: 80, size: 30, values: (_, ticks) => ticks.map((tick) => (bucket < 86_400
        ? timeOfDay(tick).slice(0, 5) : date(tick).replace(/ \d{4}$/, ""))) },
      { ...axis, size: 48, incrs: WHOLE, values: (_, ticks) => ticks.map((tick) => show(tick, true)) }],
      series: [{}, ...shown.map((each) => (stack
        ? { label: each.name, fill: paint(each.colour), stroke: paint(each.colour), width: 0, points: { show: false },
            paths: uPlot.paths.bars({ size: [0.8, 48], radius: 0.06 }) }
        : { label: each.name, stroke: paint(each.colour), width: 2, spanGaps: true, points: { show: at.length < 40, size: 4 } }))],
      hooks: { setCursor: [(drawn) => setUnder(drawn.cursor.idx ?? null)] },
    }, [at, ...rows], room.current);
    const watcher = new ResizeObserver(() => plot.setSize({ width: Math.max(200, room.current.clientWidth), height: HEIGHT }));
    watcher.observe(room.current);
    return () => {
      watcher.disconnect();
      plot.destroy();
    };
  }, [at, series, document.documentElement.dataset.theme, matchMedia("(prefers-color-scheme: dark)").matches]);
  const index = under ?? null;
  return html`
    <figure class="plot">
      <figcaption><h2>${title}</h2>
        <p class="muted when">${index === null ? "" : `${date(at[index])}${bucket < 86_400 ? ` ${timeOfDay(at[index]).slice(0, 5)}` : ""}`}</p></figcaption>
      <ul class="legend">${series.map((each) => html`
        <li key=${each.name}><span class="dot ${each.tone}"></span>${each.name}
          <b>${index === null ? "" : show(each.values[index])}</b></li>`)}</ul>
      <div class="canvas" ref=${room} aria-hidden="true"></div>
      <div class="unseen"><table><caption>${title}</caption>
        <thead><tr><th scope="col">From</th>${series.map((each) => html`<th scope="col" key=${each.name}>${each.name}</th>`)}</tr></thead>
        <tbody>${at.map((instant, row) => html`<tr key=${instant}><th scope="row">${date(instant)} ${timeOfDay(instant)}</th>
          ${series.map((each) => html`<td key=${each.name}>${show(each.values[row])}</td>`)}</tr>`)}</tbody></table></div>
    </figure>`;
}

export const thousands = (value, onAxis) => (onAxis ? compact(value) : number(value));
