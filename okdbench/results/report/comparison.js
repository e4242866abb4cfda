// ---- two rows of one table side by side; every number and sentence is computed by okdbench ----

const leaderboard = sections.find((section) => section.id === "leaderboard");
const panel = document.getElementById("comparison");
/** The chosen rows, at most two; the one that was chosen first is first. */
let chosen = [];

/** What names a row in the address. */
const nameOf = (body) => ["dataset", "setting", "task", "track", "shots", "budget", "networks", "method"]
  .map((name) => body.dataset[name]).join("/");

function textOf(body, name) {
  const header = headersOf(leaderboard).find((one) => one.dataset.name === name);
  return body.rows[0].cells[header.cellIndex].textContent.replace(/\s+/g, " ").trim();
}

const titleOf = (name) => headersOf(leaderboard).find((one) => one.dataset.name === name).textContent;

function choose(bodies) {
  chosen = bodies.slice(-2);
  for (const box of leaderboard.querySelectorAll(".pick input")) box.checked = chosen.includes(box.closest("tbody"));
  showComparison();
}

function showComparison() {
  panel.hidden = chosen.length === 0;
  if (panel.hidden) return;
  const names = chosen.map((body) => body.dataset.method);
  const clear = html("button", { type: "button", class: "copy clear" }, "Clear");
  clear.addEventListener("click", () => { choose([]); writeAddress(); });
  const heading = html("h3", {}, "Two rows side by side");
  panel.replaceChildren(html("header", {}, heading, clear), ...(chosen.length === 2 ? sideBySide() : [hint(names[0])]));
}

const hint = (name) => html("p", {}, `${name} is chosen. Choose a second row of the same table.`);

function sideBySide() {
  // A comparison has the direction of the page, whichever row was chosen first.
  const rows = ordered.get(leaderboard);
  const [a, b] = chosen.map((body) => rows.indexOf(body)).sort((x, y) => x - y);
  const found = data.comparisons[`${a}-${b}`];
  if (!found) return [html("p", {}, "These rows are of different tables, and numbers of different tables are not compared.")];
  const [difference, interval, sentence] = found;
  const columns = ["acc", "interval", "mark"];
  const numbers = [rows[a], rows[b]].map((body) => [body.dataset.method, ...columns.map((one) => textOf(body, one))]);
  return [
    box({
      heading: "Two rows side by side",
      head: ["Method", ...columns.map(titleOf)],
      rows: [...numbers, ["Difference", difference, interval, ""]],
    }),
    html("p", { class: "sentence", role: "status" }, `${sentence}.`),
    html("p", { class: "hint" }, "The interval of the difference is simultaneous over all rows of the table."),
  ];
}

function startComparison() {
  if (!leaderboard) return;
  for (const pick of leaderboard.querySelectorAll(".pick")) pick.hidden = false;
  leaderboard.addEventListener("change", (event) => {
    const body = event.target.closest(".pick") && event.target.closest("tbody");
    if (!body) return;
    choose(event.target.checked ? [...chosen, body] : chosen.filter((one) => one !== body));
    writeAddress();
  });
}
