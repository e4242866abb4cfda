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
