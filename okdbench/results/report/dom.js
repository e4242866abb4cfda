// ---- elements and data that all other parts use ----

/** Runs, comparisons and files; empty until they are unpacked. */
const data = { notes: {}, runs: {}, comparisons: {}, sheets: {} };
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

async function unpack() {
  const bytes = Uint8Array.from(atob(document.getElementById("data").textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  Object.assign(data, await new Response(stream).json());
}

/** Tell readers who use a screen reader. */
function announce(message) {
  document.getElementById("announcement").textContent = message;
}
