// ---- the address: #SECTION?filters of the overview, #run-KEY, or #method-NAME ----

const initial = (control) => control.tagName === "SELECT"
  ? [...control.options].find((one) => one.defaultSelected)?.value ?? ""
  : control.defaultValue;
/** The leaderboard's names stand alone, those of another section begin with its name. */
const spelled = (section, name) => section.id === "leaderboard" ? name : `${section.id}.${name}`;

/** What differs from the initial view. */
function view() {
  const found = new URLSearchParams();
  for (const section of sections) {
    for (const control of controlsOf(section))
      if (control.value !== initial(control)) found.append(spelled(section, control.name), control.value);
    if (orderOf(section) !== section.dataset.order) found.append(spelled(section, "sort"), orderOf(section));
  }
  for (const body of chosen) found.append("row", nameOf(body));
  return found.toString();
}

function writeAddress() {
  const query = view();
  const place = location.hash.slice(1).split("?")[0];
  const hash = query ? `#${place || "leaderboard"}?${query}` : place && `#${place}`;
  lastOverview = hash;
  if (hash !== location.hash) history.replaceState(history.state, "", hash || location.pathname + location.search);
}

function apply(query) {
  const given = new URLSearchParams(query);
  for (const section of sections) {
    for (const control of controlsOf(section)) {
      control.value = given.get(spelled(section, control.name)) ?? initial(control);
      // a value that this page does not have
      if (control.selectedIndex === -1) control.value = initial(control);
    }
    sort(section, given.get(spelled(section, "sort")) ?? section.dataset.order);
    if (controlsOf(section).length) filter(section);
  }
  if (leaderboard) choose(ordered.get(leaderboard).filter((body) => given.getAll("row").includes(nameOf(body))));
}

// ---- Back restores scroll position and focus ----

let left = null;
let lastOverview = location.hash;

/** Run or method in the address: its kind and name; null for the overview. */
function named() {
  const found = /^#(run|method)-(.*)$/s.exec(location.hash);
  if (!found) return null;
  try {
    return [found[1], decodeURIComponent(found[2])];
  } catch {
    return [found[1], found[2]];
  }
}

function openArticle(kind, name) {
  if (!overview.hidden) left = { hash: lastOverview, y: scrollY, focus: document.activeElement };
  overview.hidden = true;
  article.hidden = false;
  article.replaceChildren(...(kind === "run" ? runArticle : methodArticle)(name));
  document.title = `${article.querySelector("h1").textContent} · ${pageTitle}`;
  scrollTo({ top: 0, behavior: "instant" });
  article.querySelector("h1").focus({ preventScroll: true });
}

function openOverview() {
  const [place, query] = location.hash.slice(1).split(/\?(.*)/s);
  const returns = article.hidden === false;
  overview.hidden = false;
  article.hidden = true;
  document.title = pageTitle;
  if (query !== undefined) apply(query);
  writeAddress();
  if (returns && left && left.hash === location.hash) {
    left.focus?.focus({ preventScroll: true });
    scrollTo({ top: left.y, behavior: "instant" });
  } else if (returns || query !== undefined) {
    document.getElementById(place)?.scrollIntoView({ behavior: "instant" });
  }
}

function follow() {
  const found = named();
  if (found) openArticle(...found);
  else openOverview();
}

sections.forEach(startTable);
apply("");
unpack().then(() => {
  sections.forEach(startDownload);
  startComparison();
  addEventListener("hashchange", follow);
  follow();
  document.documentElement.dataset.ready = "";
});
