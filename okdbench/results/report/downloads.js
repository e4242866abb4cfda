// ---- saving the rows that are shown, as CSV ----

/** One cell of a CSV file (RFC 4180). */
function quoted(value) {
  const text = value === null ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function csvOf(section) {
  const sheet = data.sheets[section.id];
  const shown = [...section.querySelector("table").tBodies].filter((body) => !body.hidden);
  const rows = shown.map((body) => sheet.rows[ordered.get(section).indexOf(body)]);
  return [sheet.head, ...rows].map((row) => `${row.map(quoted).join(",")}\n`).join("");
}

function startDownload(section) {
  const button = section.querySelector("button.download");
  if (!button) return;
  button.hidden = false;
  button.addEventListener("click", () => {
    const address = URL.createObjectURL(new Blob([csvOf(section)], { type: "text/csv" }));
    html("a", { href: address, download: `${section.id}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  });
}
