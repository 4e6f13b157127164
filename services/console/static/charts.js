// The charts: uPlot, in the colours of the style sheet. A drag over one chooses a window.

import { count, element, figure, tick, zone } from "./format.js";

const COUNTS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 100000];
const CHARTS = [
  { name: "rates", height: 200, incrs: COUNTS, series: [["accepted", "accepted", "--grey"], ["default", "settled at default", "--accent"], ["fallback", "settled at fallback", "--second"]] },
  { name: "queue", height: 130, incrs: COUNTS, shown: count, series: [["queue", "in the queue", "--grey"], ["in_doubt", "in doubt", "--second"]] },
  { name: "latency", height: 130, series: [["p50_ms", "p50", "--accent"], ["p99_ms", "p99", "--second"]] },
];
const SPAN_MS = { "5m": 300_000, "1h": 3_600_000, "24h": 86_400_000 };
const REFRESH_MS = { "5m": 0, "1h": 10_000, "24h": 60_000 };
const POINTS_MAX = 400;
// What a pointer does on one chart shows on the others, except for a drag.
const SHARED = new Set(["mousemove", "mouseleave"]);

const byId = (id) => document.getElementById(id);

export class Charts {
  #columns = { at_ms: [] };
  #span = "5m";
  #plots = [];
  #loadedAt = 0;
  #onWindow;

  constructor(onWindow) {
    this.#onWindow = onWindow;
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#build());
    new ResizeObserver(() => this.#resize()).observe(byId("chart-rates"));
    for (const chart of CHARTS) byId(`legend-${chart.name}`).append(...chart.series.map(([name, label, colour]) => legendEntry(name, label, colour)));
    this.#build();
  }

  /** The window that is shown, in milliseconds. */
  get shownMs() {
    const endMs = this.#columns.at_ms.at(-1) ?? Date.now();
    return [endMs - SPAN_MS[this.#span], endMs];
  }

  /** Shows another span, from the server's history. */
  async choose(span) {
    this.#span = span;
    await this.load();
  }

  async load() {
    const span = this.#span;
    this.#loadedAt = Date.now();
    let columns;
    try {
      const answer = await fetch(`/api/history?span=${span}`);
      if (!answer.ok) return;
      columns = await answer.json();
    } catch {
      // The console is away; what is shown stays, and the page's label says that it is stale.
      return;
    }
    if (span !== this.#span) return;
    this.#columns = columns;
    this.#draw();
  }

  /** Adds the newest point to the chart of five minutes; the others are loaded anew from time to time. */
  add(point) {
    if (this.#span !== "5m") {
      if (Date.now() - this.#loadedAt > REFRESH_MS[this.#span]) this.load();
      return;
    }
    const times = this.#columns.at_ms;
    if (!point || (times.length && point.at_ms <= times[times.length - 1])) return;
    for (const [name, value] of Object.entries(point)) (this.#columns[name] ??= []).push(value);
    if (times.length > POINTS_MAX) for (const column of Object.values(this.#columns)) column.shift();
    this.#draw();
  }

  /** Removes the mark of a window that was chosen. */
  clearWindow() {
    for (const plot of this.#plots) plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  }

  #draw() {
    const times = this.#columns.at_ms.map((ms) => ms / 1000);
    const [fromMs, toMs] = this.shownMs;
    byId("zone").textContent = zone(toMs);
    CHARTS.forEach((chart, index) => {
      const columns = chart.series.map(([name]) => this.#columns[name] ?? times.map(() => null));
      const plot = this.#plots[index];
      plot.setData([times, ...columns], false);
      plot.setScale("x", { min: fromMs / 1000, max: toMs / 1000 });
      const newest = chart.series.map(([, label], at) => `${label} ${(chart.shown ?? figure)(columns[at].at(-1))}`);
      byId(`chart-${chart.name}`).setAttribute("aria-label", `Newest values: ${newest.join(", ")}`);
      this.#showValues(chart, plot);
    });
  }

  #build() {
    this.#plots.forEach((plot) => plot.destroy());
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
    this.#plots = CHARTS.map((chart) => {
      const target = byId(`chart-${chart.name}`);
      const options = {
        width: target.clientWidth || 300, height: chart.height, legend: { show: false }, padding: [8, 18, 0, 0],
        cursor: { drag: { x: true, y: false, setScale: false }, points: { size: 6 }, sync: { key: "time", filters: { pub: (type) => SHARED.has(type) } } },
        scales: { y: { range: (_, __, max) => [0, Math.max(max * 1.15, 1)] } },
        axes: [
          { ...axis, size: 28, grid: { show: false }, incrs: [60, 300, 600, 1800, 3600, 7200, 14400, 21600, 43200], space: 60, values: (_, ticks) => ticks.map((seconds) => tick(seconds * 1000)) },
          { ...axis, size: 44, space: 28, ...(chart.incrs && { incrs: chart.incrs }) },
        ],
        series: [{}, ...chart.series.map(([name, , variable]) => ({
          stroke: colour(variable), width: 2, points: { show: false }, spanGaps: false,
          ...(name === "default" && { fill: `${colour(variable)}22` }),
        }))],
        hooks: { setSelect: [(plot) => this.#selected(plot)], setCursor: [(plot) => this.#showValues(chart, plot)] },
      };
      return new uPlot(options, [[], ...chart.series.map(() => [])], target);
    });
    this.#draw();
  }

  /** The legend has the values under the pointer, or the newest. */
  #showValues(chart, plot) {
    const index = plot.cursor.idx ?? plot.data[0].length - 1;
    chart.series.forEach(([name], at) => {
      const shown = byId(`value-${name}`);
      const text = (chart.shown ?? figure)(plot.data[at + 1]?.[index]);
      if (shown.textContent !== text) shown.textContent = text;
    });
  }

  #selected(plot) {
    if (plot.select.width < 4) return;
    const at = (pixels) => Math.round(plot.posToVal(pixels, "x") * 1000);
    this.#onWindow(at(plot.select.left), at(plot.select.left + plot.select.width));
  }

  #resize() {
    CHARTS.forEach((chart, index) => {
      this.#plots[index]?.setSize({ width: byId(`chart-${chart.name}`).clientWidth, height: chart.height });
    });
  }
}

function legendEntry(name, label, colour) {
  const entry = element("span");
  entry.append(element("i", "", { class: "key", style: `background: var(${colour})`, "aria-hidden": "true" }), `${label} `, element("b", "–", { id: `value-${name}` }));
  return entry;
}
