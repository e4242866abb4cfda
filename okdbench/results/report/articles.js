// ---- the page of one run, and of one method ----

const parts = {
  code: (part) => [html("div", { class: "command" }, html("code", {}, part.text), html("button", { type: "button", class: "copy" }, "Copy"))],
  facts: (part) => [html("dl", { class: "facts" }, ...part.facts.map(fact))],
  table: (part) => [box(part)],
  charts: (part) => groups(part.charts),
};

function fact([name, value]) {
  return html("div", {}, html("dt", {}, name), html("dd", {}, value));
}

/** A table in a box that scrolls; the columns of `words` are no numbers. */
function box(part) {
  const look = (index) => ({ class: (part.words ?? [0]).includes(index) ? "" : "number" });
  const head = part.head.map((name, index) => html("th", { scope: "col", ...look(index) }, name));
  const rows = part.rows.map(([name, ...cells]) =>
    html("tr", {}, html("th", { scope: "row" }, name), ...cells.map((cell, index) => html("td", look(index + 1), cell))));
  const table = html("table", {}, html("caption", {}, part.heading), html("thead", {}, html("tr", {}, ...head)), html("tbody", {}, ...rows));
  return html("div", { class: "scroll", role: "region", "aria-label": part.heading, tabindex: "0" }, table);
}

function groups(charts) {
  const names = [...new Set(charts.map((one) => one.group))];
  return names.flatMap((name) => {
    const members = charts.filter((one) => one.group === name);
    const grid = html("div", { class: name ? "charts" : "charts one" }, ...members.map((one) => chart(one, !name)));
    return name ? [html("h3", {}, `Stage ${name}`), grid] : [grid];
  });
}

function section(part) {
  const note = data.notes[part.heading];
  return html("section", {}, html("h2", {}, part.heading), ...(note ? [html("p", {}, note)] : []), ...parts[part.kind](part));
}

const back = () => html("a", { href: "#runs", class: "back" }, "← All results");
const title = (text) => html("h1", { id: "run-title", tabindex: "-1" }, text);
const methodLink = (name) => html("a", { href: `#method-${encodeURIComponent(name)}`, class: "back" }, `All of ${name}`);

function runArticle(key) {
  if (!Object.hasOwn(data.runs, key)) return nothing("run", `This page has no run with the key ${key}.`);
  const run = data.runs[key];
  return [
    back(), " ", methodLink(run.title), title(run.title),
    html("p", { class: "lead" }, html("span", { class: `status ${run.status}` }, run.status), ` ${run.lead}`),
    html("dl", { class: "numbers" }, ...run.numbers.map(fact)),
    ...run.parts.map(section),
  ];
}

function methodArticle(name) {
  const [rows, runs] = ["leaderboard", "runs"].map((id) => {
    const found = sections.find((section) => section.id === id);
    return found ? ordered.get(found).filter((body) => body.dataset.method === name) : [];
  });
  if (!rows.length && !runs.length) return nothing("method", `This page has no method ${name}.`);
  const count = html("p", { class: "lead" }, `${rows.length} rows, ${runs.length} runs`);
  const lists = [["Rows", rows, rowList], ["Runs", runs, runList]].filter(([, bodies]) => bodies.length);
  return [
    back(), title(name), count,
    ...lists.map(([heading, bodies, list]) => html("section", {}, html("h2", {}, heading), list(bodies))),
  ];
}

function rowList(rows) {
  const columns = ["rank", "acc", "interval", "mark", "behind"];
  const head = ["Setting", ...columns.map(titleOf), "Table"];
  const numbers = rows.map((body) => [body.dataset.setting, ...columns.map((one) => textOf(body, one)), tableOf(body)]);
  return box({ heading: "Rows", head, rows: numbers, words: [0, 4, 6] });
}

/** The comparison group of a row or run, as far as the row knows it. */
const tableOf = ({ dataset }) => [dataset.dataset, dataset.task, dataset.track, dataset.shots && `labels: ${dataset.shots}`,
  dataset.budget, dataset.networks].filter(Boolean).join(", ");

function runList(runs) {
  const rows = runs.map((body) => {
    const [link, ...cells] = body.rows[0].cells;
    const [seed, status, acc] = cells.slice(-4).map((cell) => cell.textContent.trim());
    const address = { href: link.querySelector("a").getAttribute("href") };
    return [html("a", address, `${body.dataset.setting}, seed ${seed}`), acc, status, tableOf(body)];
  });
  return box({ heading: "Runs", head: ["Run", "Accuracy", "Status", "Table"], rows, words: [0, 2, 3] });
}

function nothing(kind, text) {
  return [title(`No such ${kind}`), html("p", {}, text), html("p", {}, html("a", { href: "#runs" }, "All results"))];
}
