// Lines over time, drawn by plotly, which comes from the same server: what is final is solid, what may still change is dashed and hatched.

import { interval, named, number, share, at } from "./show.js";

// It takes a while to start: the numbers are painted first.
let loaded;
const plotly = () => (loaded ??= new Promise((resolve, reject) => requestAnimationFrame(() => setTimeout(() => {
  const script = document.createElement("script");
  Object.assign(script, { src: "/plotly/plotly.min.js", onload: () => resolve(window.Plotly), onerror: () => reject(new Error("the library that draws did not load")) });
  document.head.append(script);
}))));
const CHANCE = { auc: 0.5 };
const PLAIN = { displayModeBar: false, responsive: true, doubleClick: false };
const COLOURS = 8;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const faint = (hex, alpha) => `rgba(${[1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)).join(",")},${alpha})`;
const bare = (time) => time.replace("Z", "");
const middle = (one) => bare(new Date((Date.parse(one.start) + Date.parse(one.end)) / 2).toISOString());

export const groupName = (one) => [one.version === null ? null : `version ${one.version}`, ...Object.values(one.segment)].filter((part) => part !== null).join(" · ");

export function groups(windows) {
  const found = new Map();
  for (const one of windows) found.set(groupName(one), [...(found.get(groupName(one)) ?? []), one]);
  return found;
}

// The windows of a group with a hole where one is missing, so that no line is drawn over what nobody knows.
function withHoles(windows) {
  return windows.flatMap((one, i) => (i && windows[i - 1].end !== one.start ? [null, one] : [one]));
}

function bands(windows, name, hue, axis) {
  const runs = [];
  windows.forEach((one, i) => {
    const known = one && one.values[`${name}_low`] !== null && one.values[`${name}_low`] !== undefined;
    const last = runs.at(-1);
    if (!known) runs.push(null);
    else if (last && last.final === one.final) last.of.push(one);
    else runs.push({ final: one.final, of: last && i ? [last.of.at(-1), one] : [one] });
  });
  return runs.filter(Boolean).map(({ final, of }) => {
    const x = of.length > 1 ? of.map(middle) : [bare(of[0].start), bare(of[0].end)];
    const edge = (end) => (of.length > 1 ? of : [of[0], of[0]]).map((one) => one.values[`${name}_${end}`]);
    const fill = final ? { fillcolor: faint(hue, 0.17) } : { fillpattern: { shape: "/", fgcolor: hue, bgcolor: "rgba(0,0,0,0)", size: 6, solidity: 0.2 } };
    return { x: [...x, ...x.toReversed()], y: [...edge("high"), ...edge("low").toReversed()], fill: "toself", ...fill, mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false, yaxis: axis };
  });
}

function lines(windows, name, hue, axis, group, legend, say) {
  const hole = (i) => windows[i] === undefined || windows[i] === null;
  const told = (one) => one && `${group ? `<b>${escaped(group)}</b><br>` : ""}${at(one.start)} to ${at(one.end)}<br>${named(name)} ${say(one.values[name])}`
    + `${one.values[`${name}_low`] == null ? "" : `<br>95 %: ${interval(one.values[`${name}_low`], one.values[`${name}_high`], say)}`}<br>${number(one.values.n)} of ${number(one.values.exposed)} judged<br>${one.final ? "final" : "provisional: may still change"}`;
  const common = { x: windows.map((one) => one && middle(one)), customdata: windows.map((one) => one && one.key), text: windows.map(told), hovertemplate: "%{text}<extra></extra>", name: escaped(group), legendgroup: group, mode: "lines+markers", yaxis: axis };
  const value = (one) => (one ? one.values[name] ?? null : null);
  const solid = windows.map((one) => (one && one.final ? value(one) : null));
  const open = windows.map((one, i) => (one && (!one.final || (!hole(i + 1) && !windows[i + 1].final)) ? value(one) : null));
  return [
    { ...common, y: solid, line: { color: hue, width: 2 }, marker: { color: hue, size: 6 }, showlegend: legend },
    { ...common, y: open, line: { color: hue, width: 2, dash: "dash" }, marker: { color: colour("card"), size: windows.map((one) => (one && !one.final ? 7 : 0)), line: { color: hue, width: 1.5 } }, showlegend: false, hoverinfo: open.every((y) => y === null) ? "skip" : undefined },
  ];
}

// From the start of the first window to the end of the last.
const spanOf = (windows, start, end) => [bare(windows.reduce((a, one) => (one[start] < a ? one[start] : a), "9")), bare(windows.reduce((a, one) => (one[end] > a ? one[end] : a), ""))];

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

function layout(axes, range, width, more) {
  const grid = { gridcolor: colour("grid"), zeroline: false, tickfont: { color: colour("muted"), size: 12 }, fixedrange: true, automargin: true };
  const titled = Object.fromEntries(Object.entries(axes).map(([name, axis]) => [name, { ...grid, ...axis, title: { text: axis.title, font: { color: colour("ink"), size: 13 } } }]));
  const x = { ...grid, type: "date", range, nticks: Math.max(3, Math.floor(width / 95)), tickangle: 0, showgrid: false, hoverformat: "%Y-%m-%d %H:%M", anchor: Object.keys(axes).at(-1).replace("axis", "") };
  return { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { family: "system-ui, sans-serif", color: colour("ink") }, margin: { l: 48, r: 10, t: 8, b: 36 }, hovermode: "closest", dragmode: false, hoverlabel: { bgcolor: colour("card"), bordercolor: colour("line"), font: { color: colour("ink") }, align: "left" }, legend: { orientation: "h", y: 1.02, yanchor: "bottom", font: { color: colour("ink") } }, xaxis: x, ...titled, ...more };
}

// A metric, and below it coverage (of the service, which has none: how many were served). `chosen`: the key of a window that is explained.
export async function drawMetric(place, windows, metric, chosen, onPick) {
  const below = windows.some((one) => "coverage" in one.values) ? "coverage" : "exposed";
  const found = groups(windows);
  const traces = [...found].flatMap(([group, of], i) => {
    const hue = colour(`c${i % COLOURS}`), shown = withHoles(of);
    return [[metric, "y", number], [below, "y2", below === "coverage" ? share : number]].flatMap(([name, axis, say]) => [
      ...bands(shown, name, hue, axis),
      ...lines(shown, name, hue, axis, group, found.size > 1 && axis === "y", say),
    ]);
  });
  const marked = windows.find((one) => one.key === chosen);
  const shapes = marked ? [{ type: "line", xref: "x", yref: "paper", x0: middle(marked), x1: middle(marked), y0: 0, y1: 1, line: { color: colour("accent"), width: 1.5, dash: "dot" } }] : [];
  if (metric in CHANCE) shapes.push({ type: "line", xref: "paper", yref: "y", x0: 0, x1: 1, y0: CHANCE[metric], y1: CHANCE[metric], line: { color: colour("muted"), width: 1, dash: "dot" } });
  const axes = {
    yaxis: { title: named(metric), domain: [0.36, 1] },
    yaxis2: { title: below === "coverage" ? "coverage" : "requests", domain: [0, 0.26], ...(below === "coverage" ? { range: [-0.03, 1.05], tickformat: ".0%" } : { rangemode: "tozero" }) },
  };
  await (await plotly()).react(place, traces, layout(axes, spanOf(windows, "start", "end"), place.clientWidth, { shapes }), PLAIN);
  place.removeAllListeners("plotly_click");
  place.on("plotly_click", ({ points }) => points[0]?.customdata && onPick(points[0].customdata));
}

// The distance of each window from its baseline, and the reference that a window without drift hardly exceeds.
export async function drawDrift(place, rows, measure) {
  const found = new Map();
  for (const row of rows) {
    const name = [row.version === "" ? null : `version ${row.version}`, ...JSON.parse(row.segment)].filter(Boolean).join(" · ") || "all";
    found.set(name, [...(found.get(name) ?? []), row]);
  }
  const traces = [...found].flatMap(([name, of], i) => {
    const hue = colour(`c${i % COLOURS}`), x = of.map((row) => middle({ start: row.window_start, end: row.window_end }));
    const told = of.map((row) => `${escaped(name)}<br>window from ${at(row.window_start)}<br>${measure} ${number(row.value)}, reference ${number(row.reference)}<br>${number(row.support)} requests${row.reached ? "<br><b>reached</b>" : ""}`);
    return [
      { x, y: of.map((row) => row.value), text: told, hovertemplate: "%{text}<extra></extra>", name: escaped(name), mode: "lines+markers", line: { color: hue, width: 2 }, marker: { color: hue, size: of.map((row) => (row.reached ? 10 : 5)), symbol: of.map((row) => (row.reached ? "diamond" : "circle")) } },
      { x, y: of.map((row) => row.reference), name: `${escaped(name)}: reference`, mode: "lines+markers", marker: { color: hue, size: 7, symbol: "line-ew-open" }, line: { color: hue, width: 1, dash: "dot" }, hoverinfo: "skip", showlegend: false },
    ];
  });
  await (await plotly()).react(place, traces, layout({ yaxis: { title: measure, rangemode: "tozero" } }, spanOf(rows, "window_start", "window_end"), place.clientWidth, { showlegend: found.size > 1 }), PLAIN);
}
