// How far the round is, who answered how much and how fast, and how well people agree.
"use strict";

const EVERY_MS = 3000;
const $ = (id) => document.getElementById(id);
let shown = null;

async function ask(path, body) {
  const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  try {
    const response = await fetch(path, options);
    return { ok: response.ok, found: await response.json() };
  } catch {
    return { ok: false, found: { error: "no connection to the server" } };
  }
}

const number = (n) => n.toLocaleString("en");
const fixed = (x, digits) => (x === null ? "\u2013" : x.toFixed(digits));
const percent = (x) => (x === null ? "\u2013" : `${(100 * x).toFixed(1)} %`);

function table(id, head, rows) {
  const row = (kind, cells) => {
    const line = document.createElement("tr");
    for (const text of cells) {
      const cell = document.createElement(kind);
      cell.textContent = text;
      if (kind === "th") cell.scope = "col";
      line.append(cell);
    }
    return line;
  };
  const top = document.createElement("thead");
  top.append(row("th", head));
  const body = document.createElement("tbody");
  body.append(...rows.map((cells) => row("td", cells)));
  $(id).replaceChildren(top, body);
}

function show(found) {
  shown = found;
  $("person").textContent = found.person;
  if (found.round === null) {
    $("round").textContent = "No round is open";
    $("close").disabled = true;
    return;
  }
  const { progress, agreement, anchoring } = found;
  const named = (id) => (id === "255" ? "no class (void)" : found.classes[id]);
  $("round").textContent = `Round ${found.round}${found.closed ? ", closed" : ""}`;
  $("bar").max = progress.total;
  $("bar").value = progress.answered;
  $("progress").textContent = `${number(progress.answered)} of ${number(progress.total)} answered`;
  table("people", ["name", "answers", "seconds an answer (median)"],
    found.people.map((p) => [p.name, number(p.answers), fixed(p.seconds, 1)]));
  const all = Object.values(progress.by_class).reduce((sum, n) => sum + n, 0);
  const classes = Object.entries(progress.by_class).sort((a, b) => b[1] - a[1]);
  table("classes", ["class", "pixels", "share"], classes.map(([id, n]) => [named(id), number(n), percent(n / all)]));
  const kinds = { cohen: "Cohen's kappa", fleiss: "Fleiss' kappa" };
  const seen = (kind) => (anchoring[kind].answers ? `${percent(anchoring[kind].share)} of ${number(anchoring[kind].answers)}` : "none yet");
  const guesses = `Answers that equal the network's guess: ${seen("shown")} where it was shown, ${seen("hidden")} where it was hidden.`;
  $("kappa").textContent = agreement
    ? `${kinds[agreement.kind]} ${fixed(agreement.kappa, 3)}, ${percent(agreement.equal)} equal, of ${number(agreement.pixels)} pixels in ${number(agreement.queries)} queries that two or more of ${agreement.people} people answered. ${guesses}`
    : `No query was answered by two people yet. ${guesses}`;
  $("agreement").hidden = !agreement;
  if (agreement) {
    table("agreement", ["class", "kappa", "answers"], Object.entries(agreement.by_class)
      .map(([id, c]) => [named(id), fixed(c.kappa, 3), number(c.answers)]));
  }
  $("left").textContent = found.closed
    ? "It is closed. The run goes on with its answers."
    : `${number(progress.left)} queries wait for an answer; skipped by somebody: ${number(progress.skipped)}.`;
  $("close").disabled = found.closed;
}

async function look() {
  const { ok, found } = await ask("/api/summary");
  $("told").textContent = ok ? "" : found.error;
  if (ok) show(found);
}

$("close").addEventListener("click", () => {
  const left = shown.progress.left;
  $("what").textContent = left
    ? `${number(left)} queries are not settled and stay without an answer, or with that of one person. Nothing more is taken for this round.`
    : "All queries are settled. Nothing more is taken for this round.";
  $("sure").showModal();
});
$("no").addEventListener("click", () => $("sure").close());
$("yes").addEventListener("click", async () => {
  $("sure").close();
  const { ok, found } = await ask("/api/close", { round: shown.round });
  if (ok) await look();
  else $("told").textContent = found.error;
});
look();
setInterval(look, EVERY_MS);
