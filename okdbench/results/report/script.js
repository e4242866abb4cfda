"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const overview = document.getElementById("overview");
  const article = document.getElementById("run");
  const pageTitle = document.title;
  const SVG = "http://www.w3.org/2000/svg";

  /** Create an element; strings become text nodes, so their content is never parsed as markup. */
  function make(space, name, attributes, children) {
    const element = space ? document.createElementNS(space, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }
  const html = (name, attributes = {}, ...children) => make(null, name, attributes, children);
  const svg = (name, attributes = {}, ...children) => make(SVG, name, attributes, children);

  // ---- tables: each <tbody> is one row and its expandable details ----

  function cellOf(body, column) {
    return body.rows[0].cells[column].dataset.v;
  }

  /** Missing values are last in both directions; equal values keep their order. */
  function compare(a, b, numeric, sign) {
    if (a === "" || b === "") return (a === "") - (b === "");
    return sign * (numeric ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true }));
  }

  function sort(table, header, direction) {
    const column = header.cellIndex;
    const numeric = header.dataset.type === "number";
    const sign = direction === "ascending" ? 1 : -1;
    for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", direction);
    const bodies = [...table.tBodies];
    bodies.sort((a, b) => compare(cellOf(a, column), cellOf(b, column), numeric, sign));
    table.append(...bodies);
  }

  function click(table, header) {
    const now = header.getAttribute("aria-sort");
    sort(table, header, now ? (now === "ascending" ? "descending" : "ascending") : header.dataset.first);
  }

  function matches(body, control) {
    const value = body.dataset[control.name];
    if (control.tagName === "SELECT") return control.value === "" || value === control.value;
    return value.toLowerCase().includes(control.value.trim().toLowerCase());
  }

  function filter(section) {
    const table = section.querySelector("table");
    const controls = [...section.querySelectorAll(".filters [name]")];
    let shown = 0;
    for (const body of table.tBodies) {
      body.hidden = !controls.every((control) => matches(body, control));
      shown += !body.hidden;
    }
    for (const select of section.querySelectorAll("select"))
      // a column with a single value is hidden: its filter shows the value
      table.classList.toggle(`show-${select.name}`, select.value === "" && select.options.length > 2);
    const all = table.tBodies.length;
    section.querySelector(".count").textContent = shown
      ? `${shown} of ${all} rows shown`
      : `None of the ${all} rows matches these filters; Reset restores the initial view`;
  }

  function start(section) {
    const table = section.querySelector("table");
    const form = section.querySelector(".filters");
    if (!table) return;
    for (const button of table.querySelectorAll("thead button"))
      button.addEventListener("click", () => click(table, button.parentElement));
    if (!form) return;
    form.hidden = false;
    if (section.id === "leaderboard") {
      table.classList.add("filtered");
      sort(table, table.querySelector("[data-name=rank]"), "ascending");
    }
    form.addEventListener("input", () => filter(section));
    form.addEventListener("reset", () => setTimeout(() => filter(section)));
    form.addEventListener("submit", (event) => event.preventDefault());
    filter(section);
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
    document.getElementById("announcement").textContent = message; // read by screen readers
    setTimeout(() => { button.textContent = "Copy"; }, 2500);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.more, button.copy");
    if (button) (button.matches(".more") ? toggle : copy)(button);
  });

  // ---- charts: one or two lines over steps or images ----

  const short = (value) => String(Number(value.toPrecision(3)));

  function range(values) {
    const low = Math.min(...values);
    const high = Math.max(...values);
    return high > low ? [low, high] : [low - 0.5, high + 0.5];
  }

  /** The points of a line, without steps at which the term is missing. */
  function points(x, values) {
    return x.map((step, index) => [step, values[index]]).filter((point) => point[1] !== null);
  }

  function chart(spec, wide) {
    const width = wide ? Math.min(600, article.clientWidth - 30) : 260;
    const height = wide ? 200 : 110;
    const left = 44;
    const lines = spec.lines.map((values) => points(spec.x, values));
    const values = lines.flat().map((point) => point[1]);
    if (!values.length) return html("figure", { class: "chart" }, html("figcaption", {}, `${spec.title}: no finite value`));
    const [low, high] = range(values);
    const [from, to] = range(spec.x);
    const place = ([x, y]) => [
      (left + ((x - from) / (to - from)) * (width - left - 8)).toFixed(1),
      (8 + ((high - y) / (high - low)) * (height - 28)).toFixed(1),
    ];
    const text = (x, y, content, anchor) => svg("text", { x, y, "text-anchor": anchor }, content);
    const ends = `${short(lines[0].at(0)[1])} → ${short(lines[0].at(-1)[1])}`;
    const description = `${spec.title}, from ${ends.replace("→", "to")} over ${spec.unit} ${spec.x.at(0)} to ${spec.x.at(-1)}`;
    const image = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": description });
    image.append(
      svg("title", {}, description),
      svg("path", { class: "axis", d: `M${left} 8V${height - 20}H${width - 8}` }),
      text(left - 6, 12, short(high), "end"),
      text(left - 6, height - 18, short(low), "end"),
      text(left, height - 5, `${spec.unit} ${spec.x.at(0).toLocaleString("en")}`, "start"),
      text(width - 8, height - 5, spec.x.at(-1).toLocaleString("en"), "end"),
    );
    lines.forEach((line, index) => image.append(...draw(line.map(place), index)));
    if (spec.mark) image.append(...mark(place(spec.mark), spec.mark[2], text, height));
    return html("figure", { class: "chart" }, html("figcaption", {}, spec.title, html("span", {}, ends)), image);
  }

  function draw(line, index) {
    if (line.length === 1) return [svg("circle", { cx: line[0][0], cy: line[0][1], r: 3 })];
    return line.length ? [svg("path", { class: index ? "second" : "main", d: `M${line.join("L")}` })] : [];
  }

  function mark([x, y], content, text, height) {
    const right = Number(x) > 150;
    return [
      svg("path", { class: "axis", d: `M${x} ${y}V${height - 20}` }),
      svg("circle", { cx: x, cy: y, r: 4.5 }),
      text(Number(x) + (right ? -6 : 6), height - 28, content, right ? "end" : "start"),
    ];
  }

  // ---- the page of one run ----

  const parts = {
    code: (part) => [html("div", { class: "command" }, html("code", {}, part.text), html("button", { type: "button", class: "copy" }, "Copy"))],
    facts: (part) => [html("dl", { class: "facts" }, ...part.facts.map(fact))],
    table: (part) => [box(part)],
    charts: (part) => groups(part.charts),
  };

  function fact([name, value]) {
    return html("div", {}, html("dt", {}, name), html("dd", {}, value));
  }

  function box(part) {
    const head = part.head.map((name, index) => html("th", { scope: "col", class: index ? "number" : "" }, name));
    const rows = part.rows.map(([name, ...cells]) =>
      html("tr", {}, html("th", { scope: "row" }, name), ...cells.map((cell) => html("td", { class: "number" }, cell))));
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

  function layOut(run) {
    article.replaceChildren(
      html("a", { href: "#runs", class: "back" }, "← All results"),
      html("h1", { id: "run-title", tabindex: "-1" }, run.title),
      html("p", { class: "lead" }, html("span", { class: `status ${run.status}` }, run.status), ` ${run.lead}`),
      html("dl", { class: "numbers" }, ...run.numbers.map(fact)),
      ...run.parts.map(section),
    );
  }

  function layOutUnknown(key) {
    article.replaceChildren(
      html("h1", { id: "run-title", tabindex: "-1" }, "No such run"),
      html("p", {}, `This page has no run with the key ${key}.`),
      html("p", {}, html("a", { href: "#runs" }, "All results")),
    );
  }

  // ---- the address selects the overview or a run; Back restores scroll position and focus ----

  let left = null;

  function keyInAddress() {
    if (!location.hash.startsWith("#run-")) return null;
    try {
      return decodeURIComponent(location.hash.slice(5));
    } catch {
      return location.hash.slice(5);
    }
  }

  function openRun(key) {
    if (!overview.hidden) left = { hash: lastOverview, y: scrollY, focus: document.activeElement };
    overview.hidden = true;
    article.hidden = false;
    if (Object.hasOwn(data.runs, key)) layOut(data.runs[key]);
    else layOutUnknown(key);
    document.title = `${article.querySelector("h1").textContent} · ${pageTitle}`;
    scrollTo({ top: 0, behavior: "instant" });
    article.querySelector("h1").focus({ preventScroll: true });
  }

  function openOverview() {
    const returns = article.hidden === false;
    overview.hidden = false;
    article.hidden = true;
    document.title = pageTitle;
    if (!returns) return;
    if (left && left.hash === location.hash) {
      left.focus?.focus({ preventScroll: true });
      scrollTo({ top: left.y, behavior: "instant" });
    } else {
      document.getElementById(location.hash.slice(1))?.scrollIntoView({ behavior: "instant" });
    }
  }

  let lastOverview = location.hash;

  function follow() {
    const key = keyInAddress();
    if (key !== null) return openRun(key);
    openOverview();
    lastOverview = location.hash;
  }

  document.querySelectorAll("[data-table]").forEach(start);
  addEventListener("hashchange", follow);
  follow();
})();
