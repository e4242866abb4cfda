// ---- tables: each <tbody> is one row and its expandable details ----

const sections = [...document.querySelectorAll("[data-table]")].filter((section) => section.querySelector("table"));
/** Section -> its rows in the order of the page. */
const ordered = new Map(sections.map((section) => [section, [...section.querySelector("table").tBodies]]));
const controlsOf = (section) => [...section.querySelectorAll(".filters [name]")];
const headersOf = (section) => [...section.querySelectorAll("thead [data-name]")];

function cellOf(body, column) {
  return body.rows[0].cells[column].dataset.v;
}

/** Missing values are last in both directions; equal values keep their order. */
function compareValues(a, b, numeric, sign) {
  if (a === "" || b === "") return (a === "") - (b === "");
  return sign * (numeric ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true }));
}

/** The order of a section as in the address: `acc`, or `-acc` from high to low; empty for the order of the page. */
function orderOf(section) {
  const header = section.querySelector("[aria-sort]");
  return header ? (header.getAttribute("aria-sort") === "descending" ? "-" : "") + header.dataset.name : "";
}

function sort(section, order) {
  const descending = order.startsWith("-");
  const header = headersOf(section).find((one) => one.dataset.name === order.slice(descending ? 1 : 0));
  for (const one of headersOf(section)) one.removeAttribute("aria-sort");
  const bodies = [...ordered.get(section)];
  if (header) {
    header.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const [column, numeric] = [header.cellIndex, header.dataset.type === "number"];
    bodies.sort((a, b) => compareValues(cellOf(a, column), cellOf(b, column), numeric, descending ? -1 : 1));
  }
  section.querySelector("table").append(...bodies);
}

function clickHeader(section, header) {
  const now = header.getAttribute("aria-sort") ?? (header.dataset.first === "ascending" ? "descending" : "ascending");
  sort(section, (now === "ascending" ? "-" : "") + header.dataset.name);
  writeAddress();
}

function matches(body, control) {
  const value = body.dataset[control.name];
  if (control.tagName === "SELECT") return control.value === "" || value === control.value;
  return value.toLowerCase().includes(control.value.trim().toLowerCase());
}

function filter(section) {
  const table = section.querySelector("table");
  const bodies = [...table.tBodies];
  for (const body of bodies) body.hidden = !controlsOf(section).every((control) => matches(body, control));
  const selects = [...section.querySelectorAll("select")];
  for (const select of selects)
    // a column with a single value is hidden: its filter shows the value
    table.classList.toggle(`show-${select.name}`, select.value === "" && select.options.length > 2);
  const shown = bodies.filter((body) => !body.hidden).length;
  section.querySelector(".count").textContent = shown
    ? `${shown} of ${bodies.length} rows shown`
    : `None of the ${bodies.length} rows matches these filters; Reset restores the initial view`;
  // paper has no filters, so that it names what they choose
  section.querySelector(".chosen").textContent = selects.map((one) => one.value).filter(Boolean).join(", ");
}

function startTable(section) {
  for (const header of headersOf(section))
    header.querySelector("button").addEventListener("click", () => clickHeader(section, header));
  const form = section.querySelector(".filters");
  if (!form) return;
  form.hidden = false;
  if (section.id === "leaderboard") section.querySelector("table").classList.add("filtered");
  const changed = () => { filter(section); writeAddress(); };
  form.addEventListener("input", changed);
  form.addEventListener("reset", () => setTimeout(() => { sort(section, section.dataset.order); changed(); }));
  form.addEventListener("submit", (event) => event.preventDefault());
}

// ---- expanding rows, copying commands ----

function toggle(button) {
  const opened = button.getAttribute("aria-expanded") === "true";
  button.setAttribute("aria-expanded", String(!opened));
  document.getElementById(button.getAttribute("aria-controls")).hidden = opened;
}

async function copy(button) {
  const code = button.previousElementSibling;
  let message = "Copied";
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    getSelection().selectAllChildren(code);
    message = "Selected: press Ctrl+C";
  }
  button.textContent = message;
  announce(message);
  setTimeout(() => { button.textContent = "Copy"; }, 2500);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button.more, .command button");
  if (button) (button.matches(".more") ? toggle : copy)(button);
});
