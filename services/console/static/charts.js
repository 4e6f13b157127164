// The charts: uPlot, in the colours of the style sheet. A drag over one chooses a window.

const CHARTS = [
  { id: "chart-rates", height: 220, series: [["accepted", "--grey"], ["default", "--accent"], ["fallback", "--second"]] },
  { id: "chart-queue", height: 140, series: [["queue", "--grey"], ["in_doubt", "--second"]] },
  { id: "chart-latency", height: 140, series: [["p50_ms", "--accent"], ["p99_ms", "--second"]] },
];
const SPAN_MS = { "5m": 300_000, "1h": 3_600_000, "24h": 86_400_000 };
const REFRESH_MS = { "5m": 0, "1h": 10_000, "24h": 60_000 };
const POINTS_MAX = 400;

const timeOfDay = (seconds) => new Date(seconds * 1000).toTimeString().slice(0, 5);

export class Charts {
  #columns = { at_ms: [] };
  #span = "5m";
  #plots = [];
  #loadedAt = 0;
  #onWindow;

  constructor(onWindow) {
    this.#onWindow = onWindow;
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#build());
    new ResizeObserver(() => this.#resize()).observe(document.getElementById("chart-rates"));
    this.#build();
  }

  /** Shows another span, from the server's history. */
  async choose(span) {
    this.#span = span;
    await this.load();
  }

  async load() {
    const span = this.#span;
    this.#loadedAt = Date.now();
    const answer = await fetch(`/api/history?span=${span}`);
    if (!answer.ok) return;
    const columns = await answer.json();
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

  #draw() {
    const times = this.#columns.at_ms.map((ms) => ms / 1000);
    const end = times.length ? times[times.length - 1] : Date.now() / 1000;
    CHARTS.forEach((chart, index) => {
      const columns = chart.series.map(([name]) => this.#columns[name] ?? times.map(() => null));
      const plot = this.#plots[index];
      plot.setData([times, ...columns], false);
      plot.setScale("x", { min: end - SPAN_MS[this.#span] / 1000, max: end });
      const last = chart.series.map(([name], at) => `${name.replace("_", " ")} ${columns[at].at(-1)?.toFixed(0) ?? "unknown"}`);
      document.getElementById(chart.id).setAttribute("aria-label", `Newest values: ${last.join(", ")}`);
    });
  }

  #build() {
    this.#plots.forEach((plot) => plot.destroy());
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
    this.#plots = CHARTS.map((chart) => {
      const target = document.getElementById(chart.id);
      const options = {
        width: target.clientWidth || 300, height: chart.height, legend: { show: false },
        cursor: { drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
        scales: { y: { range: (_, __, max) => [0, Math.max(max * 1.15, 1)] } },
        axes: [{ ...axis, grid: { show: false }, incrs: [60, 300, 600, 1800, 3600, 7200, 14400], space: 60, values: (_, ticks) => ticks.map(timeOfDay) }, { ...axis, size: 44 }],
        series: [{}, ...chart.series.map(([, name]) => ({ stroke: colour(name), width: 2, points: { show: false }, spanGaps: false }))],
        hooks: { setSelect: [(plot) => this.#selected(plot)] },
      };
      return new uPlot(options, [[], ...chart.series.map(() => [])], target);
    });
    this.#draw();
  }

  #selected(plot) {
    if (plot.select.width < 4) return;
    const at = (pixels) => Math.round(plot.posToVal(pixels, "x") * 1000);
    this.#onWindow(at(plot.select.left), at(plot.select.left + plot.select.width));
  }

  #resize() {
    CHARTS.forEach((chart, index) => {
      this.#plots[index]?.setSize({ width: document.getElementById(chart.id).clientWidth, height: chart.height });
    });
  }
}
