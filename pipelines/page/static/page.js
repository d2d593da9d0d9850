// The page: the address says what is asked, the server answers, and a stream says when an answer may have changed.

import { drawMetric, groupName } from "./chart.js";
import { metricPath, requestPath } from "./explain.js";
import * as sections from "./sections.js";
import { at, el, interval, named, note, number, put, share, state as badge, table } from "./show.js";
import { address, ask, change, EXPLAINED, read } from "./state.js";

const $ = (id) => document.getElementById(id);
const shown = {};  // by section: the question and the answer that are seen
const NONE = Object.fromEntries(EXPLAINED.map((name) => [name, undefined]));
let models = [], frontier = null, described = null, last = { windows: [] };

// ---- one section at a time: what is asked again while an answer is on its way is asked once more after it
const busy = {};
async function refresh(name) {
  if (busy[name]) return void (busy[name] = "again");
  busy[name] = "asking";
  try { await SECTIONS[name](); } finally {
    const again = busy[name] === "again";
    busy[name] = undefined;
    if (again) refresh(name);
  }
}

async function section(name, parameters, place, render) {
  const question = address(parameters);
  try {
    const said = await ask(name, parameters);
    const answer = JSON.stringify(said);
    if (shown[name]?.question === question && shown[name]?.answer === answer) return;
    shown[name] = { question, answer };
    render(said);
  } catch (error) {
    shown[name] = undefined;
    put(place, note(error.message, true));
  }
}

const about = () => ({ model: read().model ?? models[0]?.model, as_of: read().as_of });
const body = (name) => document.querySelector(`#${name} .body`);
const simple = (name, parameters = about) => () => section(name, parameters(), body(name), (said) => sections[name](body(name), said));

const SECTIONS = {
  lake: loadLake, metrics: loadMetrics, explain: loadExplanation,
  flow: simple("flow", () => ({})), alerts: simple("alerts"), drift: simple("drift"), triggers: simple("triggers"), loop: simple("loop"),
  releases: simple("releases"), quarantine: simple("quarantine", () => ({ as_of: read().as_of })),
};
const MOVES = {
  "gold.statistics": ["metrics"], "gold.frontiers": ["lake", "metrics"], "silver.controls": ["lake", "quarantine"], "gold.alerts": ["alerts"], "gold.drift": ["drift"],
  "gold.triggers": ["triggers"], "gold.retrainings": ["loop"], "gold.releases": ["releases"], "silver.quarantine": ["quarantine"],
};

// ---- what can be asked
async function loadLake() {
  try {
    const said = await ask("lake");
    described = null;
    models = said.models;
    frontier = said.frontier;
    $("lake").textContent = said.lake;
    document.title = `${said.lake} · Hindsight`;
    $("reached").textContent = `Processed up to ${at(frontier)}. All times are UTC.`;
    $("as_of").max = frontier.slice(0, 16);
    if (!models.length) described = "The lake knows of no model yet. `hindsight model init NAME --from FILE` writes a model file, and `hindsight run` declares it.";
  } catch (error) {
    models = [];
    described = error.message;
  }
  fill();
}

function chosen() {
  const state = read();
  const model = models.find((one) => one.model === state.model) ?? (state.model === undefined ? models[0] : undefined);
  const label = model?.labels.find((one) => one.label === state.label) ?? (state.label === undefined ? model?.labels[0] : undefined);
  return {
    of: label, model: state.model ?? model?.model, label: state.label ?? label?.label, metric: state.metric ?? label?.metric, by: state.by ?? "",
    every: state.every ?? label?.grains[0], last: state.last ?? "30", until: state.until, as_of: state.as_of, mature: state.mature,
  };
}

function options(name, values, now, say = (value) => value) {
  const all = now === undefined || values.includes(now) ? values : [...values, now];
  const select = document.forms.asked.elements[name], made = all.map((value) => `${value}|${say(value)}`).join("\n");
  if (select.dataset.made !== made) {
    select.replaceChildren(...all.map((value) => el("option", { value }, say(value))));
    select.dataset.made = made;
  }
  select.value = now ?? "";
}

function fill() {
  const now = chosen(), labels = models.find((one) => one.model === now.model)?.labels ?? [];
  const cuts = (now.of?.cuts ?? ["all"]).filter((cut) => cut !== "all");
  options("model", models.map((one) => one.model), now.model);
  options("label", labels.map((one) => one.label), now.label, (label) => label || "the service itself");
  options("metric", (now.of?.metrics ?? []).map((one) => one.name), now.metric, named);
  options("by", ["", "version", ...cuts, ...cuts.map((cut) => `version*${cut}`)], now.by, (by) => by.replaceAll("*", " × ") || "everything together");
  options("every", now.of?.grains ?? [], now.every, (grain) => grain.replace("1 hour", "an hour").replace(/^1 /, "a "));
  document.forms.asked.elements.last.value = now.last;
  document.forms.asked.elements.mature.checked = now.mature === "1";
  document.forms.asked.elements.mature.closest("label").hidden = !now.of?.silence_counts;
  $("as_of").value = now.as_of ? new Date(now.as_of).toISOString().slice(0, 16) : "";
  $("now").disabled = !now.as_of;
  $("then").classList.toggle("then", Boolean(now.as_of));
  $("later").disabled = !now.until;
  $("meaning").textContent = now.of?.metrics.find((one) => one.name === now.metric)?.meaning ?? "";
}

// ---- the metric over time
const keyOf = (one) => [one.start, one.version ?? "", ...Object.entries(one.segment).map((pair) => pair.join("="))].join("|");

async function loadMetrics() {
  const now = chosen(), place = $("windows");
  if (described || now.model === undefined) {
    shown.metrics = undefined;
    $("headline").textContent = "";
    return put(place, note(described ?? "There is nothing to show yet.", Boolean(described)));
  }
  $("numbers").setAttribute("aria-busy", "true");
  const asked = { model: now.model, label: now.label ?? "", metric: now.metric ?? "n", every: now.every ?? "1 day", by: now.by.split("*"), last: now.last, until: now.until, as_of: now.as_of, mature: now.mature };
  await section("metrics", asked, place, (said) => {
    last = { ...said, metric: now.metric, windows: said.windows.map((one) => ({ ...one, key: keyOf(one) })) };
    showMetrics();
  });
  if (!shown.metrics) {
    $("headline").textContent = "";
    last = { windows: [] };
    $("chart").setAttribute("aria-label", "no numbers");
    window.Plotly?.purge($("chart"));
  }
  $("numbers").setAttribute("aria-busy", "false");
}

function showMetrics() {
  const { windows, metric } = last, isLabel = windows.some((one) => "coverage" in one.values);
  const newest = windows.toSorted((a, b) => b.start.localeCompare(a.start));
  const best = newest.find((one) => one.final && one.values[metric] !== null) ?? newest[0];
  put($("headline"), ...(best ? [el("b", {}, `${named(metric)} ${number(best.values[metric], 3)}`), " ", interval(best.values[`${metric}_low`], best.values[`${metric}_high`]) && `(95 %: ${interval(best.values[`${metric}_low`], best.values[`${metric}_high`])}) `,
    el("span", { class: "muted" }, `${best.final ? "the last final window" : "provisional"}, from ${at(best.start)}${groupName(best) ? `, ${groupName(best)}` : ""}${isLabel ? `; coverage ${share(best.values.coverage)}` : ""}; as known at ${at(last.as_of)}`)] : [note("No window has numbers in this range.")]));
  $("chart").setAttribute("aria-label", `${named(metric)} with its 95 % interval, and ${isLabel ? "coverage" : "requests"}, over ${windows.length} windows from ${at(last.start)} to ${at(last.end)}; ${windows.filter((one) => !one.final).length} are provisional. The table beside it holds the same numbers.`);
  put($("windows"), ...table(`${windows.length} window${windows.length === 1 ? "" : "s"}, the newest first; press a value to see where it comes from`, [
    ["from", "at", (one) => at(one.start)],
    ...(windows.some(groupName) ? [["group", "", groupName]] : []),
    [named(metric), "n", (one) => el("button", { class: "link", type: "button", "data-key": one.key, "aria-label": `${named(metric)} ${number(one.values[metric])}, from ${at(one.start)}: explain`, onclick: () => pick(one.key) }, number(one.values[metric]))],
    ["state", "", (one) => (one.final ? "final" : badge("warn", "provisional"))],
    ["95 %", "n", (one) => interval(one.values[`${metric}_low`], one.values[`${metric}_high`])],
    ...(isLabel ? [["coverage", "n", (one) => share(one.values.coverage)]] : []),
    ["n", "n wide", (one) => number(one.values.n)],
  ], newest, (one) => ({ class: [one.final ? "" : "provisional", one.key === explainedKey() ? "chosen" : ""].join(" ").trim() })).children);
  draw();
}

const draw = () => drawMetric($("chart"), last.windows, last.metric, explainedKey(), pick).catch((error) => put($("chart"), note(error.message, true)));

// ---- where a number comes from
function explainedKey() {
  const state = read();
  return state.cell && [state.cell, state.version ?? "", ...state.segment].join("|");
}

function pick(key) {
  const one = last.windows.find((window) => window.key === key);
  if (one) go({ ...NONE, cell: one.start, version: one.version ?? undefined, segment: Object.entries(one.segment).map((pair) => pair.join("=")), as_of: read().as_of });
}

async function loadExplanation() {
  const state = read(), now = chosen(), dialog = $("explain"), into = dialog.querySelector(".body");
  if (!state.cell) return dialog.open && dialog.close();
  if (!dialog.open) dialog.showModal();
  const asked = state.request
    ? ["explain/outcome", { request: state.request, label: now.label || undefined, as_of: now.as_of }]
    : ["explain/metric", { model: now.model, label: now.label ?? "", metric: now.metric, cell: state.cell, grain: now.every, segment: state.segment, version: state.version, as_of: now.as_of, mature: now.mature }];
  put(into, el("p", { class: "muted" }, "reading the lake …"));
  try {
    const found = await ask(...asked);
    if (state.request) requestPath(into, found, () => go({ request: undefined }));
    else metricPath(into, found, (request) => go({ request }));
  } catch (error) {
    put(into, note(error.message, true));
  }
}

// ---- what a person does
function go(changes) {
  change(changes);
  fill();
  if (!read().cell) $("explain").close(); // at once: what was asked before may take its time
  if (last.metric) showMetrics();
  refresh("explain");
}

function askAgain(changes) {
  change({ ...NONE, ...changes });
  fill();
  refresh("metrics");
}

document.forms.asked.addEventListener("change", ({ target }) => {
  const value = target.type === "checkbox" ? (target.checked ? "1" : undefined) : target.value;
  const resets = { model: { label: undefined, metric: undefined, by: undefined, every: undefined, mature: undefined }, label: { metric: undefined, by: undefined, every: undefined, mature: undefined }, every: { until: undefined } };
  askAgain({ ...resets[target.name], [target.name]: value });
  if (target.name === "model") for (const name of ["alerts", "drift", "triggers", "loop", "releases"]) refresh(name);
});
document.forms.asked.addEventListener("submit", (event) => event.preventDefault());
$("then").addEventListener("submit", (event) => event.preventDefault());
const known = (as_of) => { askAgain({ as_of, until: undefined }); for (const name of ["alerts", "drift", "triggers", "loop", "releases", "quarantine"]) refresh(name); };
$("as_of").addEventListener("change", ({ target }) => known(target.value ? `${target.value}Z` : undefined));
$("now").addEventListener("click", () => known(undefined));
$("earlier").addEventListener("click", () => last.start && askAgain({ until: last.start }));
$("later").addEventListener("click", () => {
  const until = new Date(Date.parse(last.end) + Number(chosen().last) * last.every * 1000).toISOString();
  askAgain({ until: until >= frontier ? undefined : until });
});
$("close").addEventListener("click", () => go(NONE));
$("explain").addEventListener("cancel", (event) => { event.preventDefault(); go(NONE); });
window.addEventListener("popstate", () => { fill(); everything(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (last.metric) draw(); shown.drift = undefined; refresh("drift"); });

// ---- live
// The numbers first: one server answers all.
async function everything() {
  refresh("explain");
  await refresh("metrics");
  for (const name of Object.keys(SECTIONS)) if (!["lake", "metrics", "explain"].includes(name)) refresh(name);
}

function live(on) {
  $("live").className = on ? "on" : "off";
  $("live").textContent = on ? "live" : "no connection to the server; trying again";
}

function listen() {
  let seen = null;
  const stream = new EventSource("/api/changes");
  stream.onopen = () => live(true);
  stream.onerror = () => live(false);
  stream.onmessage = ({ data }) => {
    const now = JSON.parse(data), before = seen ?? now;
    seen = now;
    const moved = Object.keys(now).filter((table) => now[table] !== before[table]);
    const names = new Set(moved.flatMap((table) => MOVES[table] ?? []));
    if (names.delete("lake")) refresh("lake").then(() => refresh("metrics"));
    for (const name of [...names, ...(moved.length ? ["flow"] : [])]) refresh(name);
  };
}

await loadLake();
everything();
listen();
setInterval(() => document.hidden || refresh("flow"), 5000);
