// The path of one number, from its value to positions of the log, as `hindsight explain` says it.

import { at, el, interval, named, note, number, put, state, table } from "./show.js";

const place = (one) => `${one.partition}/${one.offset}`;
const belief = (value) => (value === null ? "undecided" : String(value));
const pairs = (of) => el("dl", { class: "path" }, of.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));

export function metricPath(into, found, onRequest) {
  const said = [
    ["model, label", `${found.model} · ${found.label || "the service"}`],
    ["window", `${at(found.cell_from)} to ${at(found.cell_to)} UTC`],
    ["group", [found.version === null ? null : `version ${found.version}`, ...Object.entries(found.segment).map(([field, value]) => `${field} ${value}`)].filter(Boolean).join(" · ") || "all"],
    [named(found.metric), el("b", {}, number(found.value, 6))],
    ["95 % interval", interval(found.low, found.high) || "none"],
    ["as known at", `${at(found.as_of)} UTC`],
    ["it is", found.final ? "final: only a correction still moves it" : state("warn", "provisional: may still change")],
    ["the statistics are", found.agrees ? state("good", "what the rows below post") : state("bad", "NOT what the rows below post: `hindsight verify` says which side is wrong")],
    ["definition", el("code", {}, found.definition)],
  ];
  const differ = (row) => (row.amount === row.posted ? {} : { class: "chosen" });
  put(into, pairs(said),
    el("h3", {}, "Rows behind it, in the order in which they became known"),
    table("Signed entries of the ledger, or inferences, with their places in the log (partition/offset)", [
      ["row", "at", (step) => (step.sign === null ? "inference" : `${step.sign > 0 ? "+1" : "−1"} ${belief(step.belief)}`)],
      ["request", "", (step) => el("button", { class: "link", type: "button", "data-key": `r-${step.request}`, onclick: () => onRequest(step.request) }, step.request, step.item ? ` · ${step.item}` : "")],
      ["known at", "at", (step) => at(step.known_at)],
      ["inference", "n", (step) => place(step.inference)],
      ["feedback", "", (step) => step.feedback.map((said) => `${said.action} ${place(said.position)}`).join(", ")],
      ["adds", "wide", (step) => step.adds.slice(0, 4).map((add) => `${add.basis}.${add.statistic}${add.bucket ? `[${add.bucket}]` : ""} ${add.amount}`).join(", ") + (step.adds.length > 4 ? ` and ${step.adds.length - 4} more` : "")],
    ], found.steps),
    found.more ? note(`and ${number(found.more)} more rows; \`hindsight explain metric --limit\` and --json give all`) : null,
    el("h3", {}, "Statistics it is taken from"),
    table(`${found.statistics.length} sums`, [
      ["basis", "", (row) => row.basis], ["statistic", "", (row) => row.statistic], ["bucket", "", (row) => row.bucket || ""],
      ["amount", "n", (row) => row.amount], ["posted", "n", (row) => row.posted],
    ], found.statistics, differ));
}

export function requestPath(into, found, onBack) {
  const outcomes = found.outcomes.flatMap((one) => [
    el("h3", {}, `label ${one.label}${one.item ? `, item ${one.item}` : ""}${one.in_force ? "" : " (an earlier policy)"}`),
    pairs([["resolved by", one.resolve], ["counts if given before", `${at(one.window_to)} UTC`], ["silence is information from", `${at(one.matures_at)} UTC`],
      ["the ledger holds", one.agrees ? state("good", "what the votes say") : state("bad", "NOT what the votes say")]]),
    one.votes.length ? table("Votes, as the policy sees them", [
      ["feedback", "", (vote) => vote.said.feedback_id], ["action", "", (vote) => vote.said.action], ["value", "n", (vote) => belief(vote.said.value)],
      ["known at", "at", (vote) => at(vote.said.known_at)], ["log", "n", (vote) => place(vote.said.position)], ["what became of it", "", (vote) => vote.told],
    ], one.votes) : note("no votes"),
    one.history.length ? table("What was believed, from when on", [
      ["known at", "at", (moment) => at(moment.known_at)], ["believed", "", (moment) => (moment.answered ? belief(moment.belief) : "nothing: no vote is live")],
    ], one.history) : null,
  ]);
  put(into, el("p", {}, el("button", { type: "button", onclick: onBack, "data-key": "back" }, "‹ Back to the number")),
    pairs([["request", found.request], ["model", `${found.model} · version ${found.version}`], ["served at", `${at(found.served_at)} UTC`], ["status", found.status],
      ["predicted", found.prediction === null ? "nothing" : `${found.prediction}${found.score === null ? "" : `, score ${number(found.score)}`}`], ["log", place(found.position)]]),
    ...outcomes, note(`The record itself: \`hindsight explain event --offset ${found.position.offset}\``));
}
