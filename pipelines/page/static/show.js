// Elements, tables, and how values are written. Times are UTC; nothing is put in as HTML, so that no name of a lake is ever code.

export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "width") made.style.width = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

// columns: [heading, class, row => text or element]
export function table(caption, columns, rows, attributes = () => ({})) {
  const head = el("tr", {}, columns.map(([name, kind]) => el("th", { scope: "col", class: kind }, name)));
  const body = rows.map((row) => el("tr", attributes(row), columns.map(([, kind, cell]) => el("td", { class: kind }, cell(row) ?? "–"))));
  return el("div", { class: "rows", tabindex: "0", role: "region", "aria-label": caption },
    el("table", {}, el("caption", {}, caption), el("thead", {}, head), el("tbody", {}, body)));
}

// What stands between `backticks` is to be typed.
export const prose = (text) => text.split("`").map((part, i) => (i % 2 ? el("code", {}, part) : part));

export const note = (text, bad = false) => el("p", { class: bad ? "note bad" : "note", role: bad ? "alert" : null }, prose(text));

// The focus stays on what has the same key.
export function put(place, ...children) {
  const key = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  const scrolled = [...place.querySelectorAll(".rows")].map((one) => [one.scrollTop, one.scrollLeft]);
  place.replaceChildren(...children.filter(Boolean));
  [...place.querySelectorAll(".rows")].forEach((one, at) => scrolled[at] && one.scrollTo(scrolled[at][1], scrolled[at][0]));
  if (key) [...place.querySelectorAll("[data-key]")].find((one) => one.dataset.key === key)?.focus({ preventScroll: true });
}

export const facts = (pairs) => el("dl", { class: "facts" }, pairs.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));

export function at(time) {
  if (!time) return "–";
  const text = new Date(time).toISOString();
  return text.endsWith("T00:00:00.000Z") ? text.slice(0, 10) : text.slice(0, text.slice(17, 23) === "00.000" ? 16 : 19).replace("T", " ");
}

export function number(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (Number.isInteger(value) || Math.abs(value) >= 10000) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(digits)));
}

export const share = (value) => (value === null || value === undefined ? "–" : `${(100 * value).toFixed(value > 0 && value < 0.1 ? 2 : 1)} %`);

export const interval = (low, high, say = number) => (low === null || low === undefined ? "" : `${say(low, 3)} to ${say(high, 3)}`);

export const state = (kind, text) => el("span", { class: `state ${kind}` }, text);

export const NAMES = { auc: "AUC", f1: "F1", mae: "MAE", rmse: "RMSE", r2: "R²" };
export const named = (metric) => NAMES[metric] ?? metric.replaceAll("_", " ");

export function seconds(value) {
  if (value < 60) return `${number(value, 3)} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
  return value < 86400 ? `${Math.floor(value / 3600)} h ${Math.round((value % 3600) / 60)} min` : `${number(value / 86400, 3)} days`;
}
