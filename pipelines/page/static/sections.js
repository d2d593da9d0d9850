// What stands below the metrics: each section a question to the server, and what is shown of the answer.

import { drawDrift } from "./chart.js";
import { at, el, facts, interval, note, number, prose, put, seconds, share, state, table } from "./show.js";

const STATES = { open: ["bad", "● open"], cleared: ["good", "○ cleared"], overturned: ["", "× overturned"] };
const segment = (text) => JSON.parse(text || "[]").join(" · ");
const more = (said, what) => (said.of > said.rows.length ? note(`The newest ${said.rows.length} of ${number(said.of)} ${what}.`) : null);

export function flow(place, said) {
  put(place,
    facts([["log ends at", number(said.log_end)], ["processed up to", at(said.frontier)], ["quarantined", number(said.quarantined)], ["redriven", number(said.redriven)], ["duplicates", number(said.duplicates)], ["orphans", number(said.orphans)]]),
    table("Jobs, in the order of the flow", [
      ["job", "", (job) => job.job],
      ["state", "", (job) => (job.running ? state("good", "● running") : state("", "○ stopped"))],
      ["lag, events", "n", (job) => (job.lag_events ? state("warn", number(job.lag_events)) : "0")],
      ["lag", "n", (job) => seconds(job.lag_seconds)],
      ["batch", "n wide", (job) => number(job.batch)],
      ["rows/s", "n wide", (job) => number(job.rate, 3)],
      ["watermark", "at wide", (job) => at(job.watermark)],
      ["join keeps", "n wide", (job) => number(job.state_rows)],
      ["rows", "n wide", (job) => number(job.rows)],
    ], said.jobs));
}

export function alerts(place, said) {
  if (!said.of) return put(place, note("No alert was raised. What should not happen is said by [alerts.NAME] of the model file."));
  const open = said.rows.filter((one) => one.state === "open").length;
  put(place, el("p", {}, open ? state("bad", `● ${open} open`) : state("good", "none open"), ` of ${number(said.of)}`),
    table("Incidents, the newest first", [
      ["state", "", (one) => state(...(STATES[one.state] ?? ["", one.state]))],
      ["alert", "", (one) => one.rule],
      ["raised", "at", (one) => at(one.raised_at)],
      ["ended", "at wide", (one) => at(one.ended_at)],
      ["window", "at", (one) => at(one.window_start)],
      ["group", "", (one) => [segment(one.segment), one.version && `version ${one.version}`].filter(Boolean).join(" · ") || "all"],
      ["value", "n", (one) => number(one.value)],
      ["95 %", "n wide", (one) => interval(one.low, one.high)],
      ["support", "n wide", (one) => number(one.support)],
    ], said.rows), more(said, "incidents"));
}

const picked = {};

export function drift(place, said) {
  if (!said.of) return put(place, note("No drift is watched, or nothing is known of it yet. [drift] of the model file says what may drift."));
  const names = [...new Set(said.rows.map((row) => row.feature))].sort();
  const measures = [...new Set(said.rows.map((row) => row.measure))].sort().reverse();
  const feature = names.includes(picked.feature) ? picked.feature : names[0];
  const measure = measures.includes(picked.measure) ? picked.measure : measures.includes("psi") ? "psi" : measures[0];
  const choice = (name, values, chosen, heading) => el("label", {}, `${heading} `, el("select", { "data-key": `drift-${name}`, onchange: (event) => { picked[name] = event.target.value; drift(place, said); } },
    values.map((value) => el("option", { value, selected: value === chosen }, value))));
  const rows = said.rows.filter((row) => row.feature === feature && row.measure === measure);
  const reached = rows.filter((row) => row.reached).length;
  const kept = place.querySelector(".chart");
  const chart = kept ?? el("div", { class: "chart low", role: "img" });
  chart.setAttribute("aria-label", `${measure} of ${feature} over ${rows.length} windows; ${reached} reach the reference. The table holds the same.`);
  put(place, el("p", {}, choice("feature", names, feature, "Of"), " ", choice("measure", measures, measure, "measured by")),
    el("div", { class: "beside" }, el("figure", {}, chart, el("p", { class: "muted" }, "dotted: what a window without drift hardly exceeds · ◆ reached")),
      table(`${measure} of ${feature}, the newest first`, [
        ["window", "at", (row) => at(row.window_start)],
        ["group", "", (row) => [row.version && `version ${row.version}`, segment(row.segment)].filter(Boolean).join(" · ") || "all"],
        ["distance", "n", (row) => (row.reached ? state("bad", `◆ ${number(row.value, 3)}`) : number(row.value, 3))],
        ["reference", "n", (row) => number(row.reference, 3)],
      ], rows.toReversed())));
  drawDrift(chart, rows, measure).catch((error) => put(chart, note(error.message, true)));
}

const FIRED = { fired: "bad", awaiting: "warn", forced: "bad", overturned: "", approved: "good" };

export function triggers(place, said) {
  if (!said.of) return put(place, note("No trigger is watched. What starts a retraining is said by [triggers.NAME] of the model file."));
  put(place, table("Steps, the newest first", [
    ["known at", "at", (row) => at(row.known_at)],
    ["trigger", "", (row) => row.trigger],
    ["step", "", (row) => state(FIRED[row.state] ?? "", row.state)],
    ["on", "", (row) => (row.evidence.met ?? []).join(", ") || row.evidence.why || ""],
    ["id", "wide", (row) => el("code", {}, row.trigger_id)],
  ], said.rows), more(said, "steps"));
}

const ENDS = { promoted: "good", settled: "good", refused: "warn", failed: "bad", rolled_back: "warn" };

export function loop(place, said) {
  if (!said.of) return put(place, note("No trigger has been acted on. `hindsight launch` does, where one has fired."));
  put(place, table("Retrainings, the newest first", [
    ["known at", "at", (one) => at(one.steps.at(-1).known_at)],
    ["trigger", "", (one) => one.steps.at(-1).trigger],
    ["step", "", ({ steps }) => state(ENDS[steps.at(-1).step] ?? "", steps.at(-1).verdict ? `${steps.at(-1).step}: ${steps.at(-1).verdict}` : steps.at(-1).step)],
    ["versions", "", ({ steps }) => (steps.at(-1).version ? `${steps.at(-1).champion ?? "–"} → ${steps.at(-1).version}` : "")],
    ["difference, 95 %", "n", ({ steps }) => { const judged = steps.findLast((step) => step.estimate !== null); return judged ? `${number(judged.estimate, 3)} (${interval(judged.low, judged.high)})` : ""; }],
    ["release", "wide", ({ steps }) => steps.at(-1).release],
    ["all steps", "wide", ({ steps }) => steps.map((step) => step.step).join(" → ")],
    ["why", "", ({ steps }) => (steps.at(-1).reason ?? "").split("\n")[0]],
  ], said.rows), el("p", { class: "muted" }, "difference: mean loss minus the champion's; below 0 is better"), more(said, "retrainings"));
}

export function releases(place, said) {
  if (!said.of) return put(place, note("No release yet. `hindsight dataset release` cuts one, and so does `hindsight launch`."));
  put(place, table("Releases, the newest first", [
    ["release", "", (one) => one.name],
    ["as of", "at", (one) => at(one.as_of)],
    ["rows", "n", (one) => number(one.rows)],
    ["train", "n wide", (one) => number(one.splits.train)],
    ["validation", "n wide", (one) => number(one.splits.validation)],
    ["test", "n wide", (one) => number(one.splits.test)],
    ["gates", "", (one) => (!one.gates ? "none" : one.kept === one.gates ? state("good", `${one.gates} held`) : state("bad", `${one.gates - one.kept} of ${one.gates} broken`))],
    ["content", "wide", (one) => el("code", {}, one.content.slice(0, 16))],
    ["supersedes", "wide", (one) => one.supersedes ?? ""],
  ], said.rows), more(said, "releases"));
}

export function quarantine(place, said) {
  if (!said.of) return put(place, note("Nothing was refused."));
  const most = Math.max(...said.rows.map((row) => row.records));
  put(place, note(`${number(said.of)} records were refused; \`hindsight redrive\` sends again what would be taken in now.`),
    table("By reason, the most frequent first", [
      ["reason", "", (row) => el("code", {}, row.reason)],
      ["records", "n", (row) => number(row.records)],
      ["", "wide", (row) => el("span", { class: "bar-of", width: `${(8 * row.records) / most}rem`, "aria-hidden": "true" })],
      ["share", "n wide", (row) => share(row.records / said.of)],
      ["redriven", "n", (row) => number(row.redriven)],
      ["last received", "at", (row) => at(row.last)],
      ["meaning", "wide", (row) => el("span", {}, prose(row.meaning))],
    ], said.rows));
}
