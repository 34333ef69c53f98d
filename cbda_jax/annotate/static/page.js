// One query at a time, by keyboard. An answer is kept in this browser before it is sent, and until
// the server says that it has it: nothing is lost with the network, the page or the server.
"use strict";

const VOID = 255;
const UNANSWERED = 254;
const GRACE_MS = 250; // for the server to say what is next, before the likely next one is shown
const TIMEOUT_MS = 8000;
const RETRY_MS = [500, 1000, 2000, 4000];
const ASK_AGAIN_MS = 3000;
const ZOOMS = [4, 6, 8, 12, 16, 24, 32];

const $ = (id) => document.getElementById(id);
const s = {
  about: null, // of /api/round
  task: null, // the one shown
  resume: null, // the one to go on with after looking back
  upcoming: [],
  history: [], // queries, the latest first
  place: -1, // in the history, while looking back
  answered: new Set(), // here, since the page was opened
  known: new Map(), // query -> task
  ready: false, // whether its pictures are shown
  shownAt: 0,
  pressedAt: 0,
  zoom: 3,
  zoomBefore: 3, // it was near for single pixels
  light: 0,
  byPixel: false,
  cell: 0,
  patch: [],
  last: null, // the class given last, by pixel
};

// ------------------------------------------------------------------ asking and sending

async function ask(path, body) {
  const options = { signal: AbortSignal.timeout(TIMEOUT_MS), credentials: "same-origin" };
  if (body !== undefined) {
    options.method = "POST";
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(body);
  }
  try {
    const response = await fetch(path, options);
    const found = await response.json();
    return { status: response.status, found, after: Number(response.headers.get("Retry-After")) };
  } catch {
    return { status: 0, found: { error: "no connection" }, after: 0 };
  }
}

const waits = (ms) => new Promise((done) => setTimeout(done, ms));
const prefix = () => `cbda_jax/${s.about.run}/${encodeURIComponent(s.about.person)}/`;

const held = new Map(); // what a browser that is full, or keeps nothing, cannot store

// An entry of its own for each event, so that two tabs do not overwrite each other's.
function unsent() {
  const all = [...Object.entries(localStorage), ...held];
  const ours = all.filter(([key]) => key.startsWith(prefix()));
  return ours.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, text]) => [key, JSON.parse(text)]);
}

function store(key, text) {
  try { localStorage.setItem(key, text); } catch { held.set(key, text); }
}

function forget(key) {
  localStorage.removeItem(key);
  held.delete(key);
}

let count = 0;
function keep(kind, query, patch) {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const id = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const seconds = Math.max(0, (performance.now() - s.shownAt) / 1000);
  const shown = s.task !== null && s.task.query === query && s.task.guess !== null;
  const event = { id, kind, query, patch, seconds, guess_shown: shown, queries: s.about.checksum };
  count += 1;
  const order = `${Date.now()}`.padStart(15, "0") + `${count}`.padStart(7, "0");
  store(`${prefix()}${order}-${id}`, JSON.stringify(event));
  const told = new Promise((tell) => awaited.set(id, tell));
  drain();
  return told;
}

const awaited = new Map(); // id -> who waits for what the server says to it
let draining = false;
let hurry = () => {};
let refused = 0;

async function drain() {
  if (draining) return;
  draining = true;
  let failures = 0;
  for (let left = unsent(); left.length; left = unsent()) {
    const [key, event] = left[0];
    const { status, found, after } = await ask("/api/event", event);
    const tell = awaited.get(event.id) || (() => {});
    if (status === 200) {
      forget(key);
      awaited.delete(event.id);
      failures = 0;
      say(unsent().length);
      tell(found);
      if (!unsent().length) arrive(found);
    } else if (status === 0 || status === 429 || status >= 500) {
      tell(null);
      say(left.length, found.error);
      const wait = after * 1000 || RETRY_MS[Math.min(failures, RETRY_MS.length - 1)];
      failures += 1;
      await Promise.race([waits(wait), new Promise((now) => { hurry = now; })]);
    } else if (status === 401) {
      tell(null);
      say(left.length, found.error);
      tells(`${found.error}. ${left.length} answers are kept in this browser until then.`);
      break;
    } else {
      // Sent once more it would be refused again.
      forget(key);
      awaited.delete(event.id);
      tell(null);
      refused += 1;
      tells(`${refused} not taken: ${found.error}`);
      if (status === 409) await start();
    }
  }
  draining = false;
}

function say(waiting, problem) {
  $("saved").textContent = waiting ? `${problem || "saving"}: ${waiting} kept here` : "all saved";
  $("saved").classList.toggle("waiting", Boolean(waiting && problem));
}

function tells(text) { $("told").textContent = text; }

function again() {
  clearTimeout(again.timer);
  again.timer = setTimeout(start, ASK_AGAIN_MS);
}

// ------------------------------------------------------------------ which query is next

// What the server said last, once nothing waits here.
function arrive(found) {
  if (found.progress) showProgress(found.progress);
  const ahead = (found.next ? [found.next] : []).concat(found.upcoming || []);
  const shown = [s.task, s.resume].map((task) => task && task.query);
  s.upcoming = ahead.filter((t) => !shown.includes(t.query) && !s.answered.has(t.query));
  for (const task of ahead) prepare(task);
  if (!s.task && !s.busy) goOn(found);
}

function goOn(found) {
  if (found && found.next && !s.answered.has(found.next.query)) return show(found.next);
  // One that was skipped comes again once nothing else is left.
  if (found && found.next && !unsent().length) return show(found.next);
  const likely = s.upcoming.find((task) => !s.answered.has(task.query));
  if (likely) return show(likely);
  if (!found) return nothing("Waiting for the server", "What you answered is kept in this browser.");
  const end = "The round is closed on the summary page, or by itself after a while.";
  const rest = "Others have yet to answer what is left. What becomes free appears here.";
  return nothing("Nothing is left for you in this round", found.complete ? end : rest);
}

async function advance(told) {
  s.busy = true;
  s.ready = false;
  const resume = s.resume;
  s.resume = null;
  s.place = -1;
  const found = await Promise.race([told, waits(GRACE_MS).then(() => null)]);
  s.busy = false;
  s.task = null;
  if (found) arriveQuietly(found);
  if (resume) show(resume);
  else goOn(found && !unsent().length ? found : null);
}

function arriveQuietly(found) {
  s.busy = true;
  arrive(found);
  s.busy = false;
}

async function start() {
  const { status, found } = await ask("/api/round");
  if (status !== 200) {
    if (status === 401) return nothing("This page is not open to you", found.error);
    if (!s.task) nothing("No connection to the server", "It is looked for again and again.");
    return again();
  }
  const changed = !s.about || s.about.checksum !== found.checksum;
  s.about = found;
  $("person").textContent = found.person;
  if (found.round === null) {
    $("round").textContent = "No round";
    nothing("No round is open", "The next one appears here by itself.");
    return again();
  }
  if (changed) {
    Object.assign(s, { task: null, resume: null, upcoming: [], history: [], place: -1 });
    s.answered.clear();
    s.known.clear();
    pictures.clear();
    setUp(found);
  }
  await drain();
  const [next, history] = await Promise.all([ask("/api/next", {}), ask("/api/history")]);
  if (history.status === 200) s.history = history.found.queries;
  if (next.status !== 200) return again();
  if (!unsent().length) say(0);
  arrive(next.found);
  if (!s.task) goOn(next.found);
}

function nothing(why, then) {
  s.task = null;
  s.ready = false;
  $("why").textContent = why;
  $("then").textContent = then;
  $("nothing").hidden = false;
  $("after").hidden = !s.about || s.about.round === null || !s.history.length;
  $("looking").hidden = $("answering").hidden = true;
  clearTimeout(nothing.timer);
  nothing.timer = setTimeout(async () => {
    if (s.task || !s.about) return;
    const { status, found } = await ask("/api/next", {});
    if (s.task) return;
    if (status === 200) arrive(found);
    else if (status === 409) start();
    else nothing($("why").textContent, $("then").textContent);
  }, ASK_AGAIN_MS);
}

// ------------------------------------------------------------------ what is shown beside them

function setUp(about) {
  $("round").textContent = `Round ${about.round}`;
  document.title = `Round ${about.round} - ${about.person}`;
  $("classes").replaceChildren(...about.classes.map((c, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.index = index;
    button.title = c.name;
    if (c.key) button.setAttribute("aria-keyshortcuts", c.key);
    button.append(...face(c));
    button.addEventListener("click", () => {
      s.pressedAt = performance.now();
      if (!s.busy) give(index);
    });
    return button;
  }));
  $("find").hidden = about.classes.every((c) => c.key);
  $("pixels").hidden = about.radius === 0;
  $("question").textContent = about.radius ? "Which class is the outlined square?" : "Which class is the outlined pixel?";
  const some = about.radius === 1 ? ", digits of the number pad choose a pixel" : "";
  $("help").textContent = about.radius
    ? `A class key answers the whole square. Pixel by pixel (x): arrow keys move${some}, Enter sends.`
    : "Keys stand on the buttons. Left and right arrows look back and forward.";
}

function face(c) {
  const swatch = document.createElement("span");
  swatch.className = "swatch";
  swatch.style.setProperty("--colour", c.colour);
  const name = document.createElement("span");
  name.textContent = c.name;
  const parts = [swatch, name];
  if (c.key) {
    const key = document.createElement("kbd");
    key.textContent = c.key;
    parts.unshift(key);
  }
  return parts;
}

function named(value) { return value === VOID ? "no class" : s.about.classes[value].name; }

function show(task) {
  const first = $("looking").hidden;
  $("nothing").hidden = true;
  $("looking").hidden = $("answering").hidden = false;
  s.task = task;
  s.ready = false;
  if (s.byPixel) s.zoom = s.zoomBefore;
  s.byPixel = false;
  s.last = null;
  s.cell = Math.floor((2 * task.radius + 1) ** 2 / 2);
  s.patch = task.answer ? [...task.answer] : blank(task);
  s.upcoming = s.upcoming.filter((other) => other.query !== task.query);
  if (first) s.zoom = fitting(task);
  prepare(task);
  const kinds = task.answer ? [...new Set(task.answer.filter((v) => v !== UNANSWERED))] : [];
  $("before").textContent = kinds.length ? `You answered: ${kinds.map(named).join(", ")}. Another answer takes its place.` : "";
  for (const button of $("classes").children) button.classList.toggle("was", kinds.includes(Number(button.dataset.index)));
  $("caption").textContent = `whole image: ${task.image}`;
  $("caption").title = task.image;
  $("crop").setAttribute("aria-label", `Pixels around row ${task.row}, column ${task.col} of ${task.image}`);
  $("around").setAttribute("aria-label", "What is around them");
  $("whole").setAttribute("aria-label", `The whole image ${task.image}, the place marked`);
  $("forward").hidden = s.place < 0;
  showPixels();
  $("spoken").textContent = `Query ${task.query + 1}. ${task.guess === null ? "No guess" : `Guess: ${named(task.guess)}`}`;
  draw();
}

// What Enter does.
function showGuess() {
  const { task } = s;
  const guess = $("guess");
  guess.disabled = task.guess === null && !s.byPixel;
  if (s.byPixel) {
    const key = document.createElement("kbd");
    key.textContent = "Enter";
    guess.replaceChildren(key, "send the pixels");
  } else if (task.guess === null) {
    guess.textContent = "The network's guess is not shown for this one";
  } else {
    const note = document.createElement("span");
    note.className = "note";
    note.textContent = "the network's guess";
    guess.replaceChildren(...face({ ...s.about.classes[task.guess], key: "Enter" }), note);
  }
}

function blank(task) {
  const side = 2 * task.radius + 1;
  return Array(side * side).fill(UNANSWERED);
}

function inside(task, i) {
  const side = 2 * task.radius + 1;
  const row = task.row - task.radius + Math.floor(i / side);
  const col = task.col - task.radius + (i % side);
  return row >= 0 && row < task.height && col >= 0 && col < task.width;
}

function fitting(task, nearest = 12) {
  const most = $("crop").clientHeight / (2 * (2 * task.radius + 1));
  return Math.max(0, ZOOMS.findLastIndex((zoom) => zoom <= Math.min(nearest, most)));
}

function showPixels() {
  $("pixels").setAttribute("aria-pressed", s.byPixel);
  $("rest").hidden = !s.byPixel;
  showGuess();
  $("zoom").textContent = `${ZOOMS[s.zoom]} \u00d7`;
}

function showProgress(progress) {
  const number = (n) => n.toLocaleString("en");
  $("bar").max = progress.total;
  $("bar").value = progress.answered;
  $("progress").textContent = `${number(progress.answered)} of ${number(progress.total)} answered, ${number(progress.mine)} by you`;
}

// ------------------------------------------------------------------ what people do

function send(kind, patch) {
  const query = s.task.query;
  const known = s.known.get(query);
  if (known && patch) known.answer = patch;
  s.history = [query, ...s.history.filter((other) => other !== query)];
  s.answered.add(query);
  say(unsent().length + 1);
  advance(keep(kind, query, patch));
}

function give(value) {
  if (!s.ready) return;
  const button = value === VOID ? $("void") : $("classes").children[value];
  button.classList.remove("flash");
  requestAnimationFrame(() => button.classList.add("flash"));
  if (!s.byPixel) {
    send("answer", s.patch.map((_, i) => (inside(s.task, i) ? value : UNANSWERED)));
    return;
  }
  s.last = value;
  s.patch[s.cell] = value;
  const open = s.patch.findIndex((v, i) => i > s.cell && v === UNANSWERED && inside(s.task, i));
  if (open >= 0) s.cell = open;
  tellPixels();
}

function tellPixels() {
  const left = s.patch.filter((v, i) => v === UNANSWERED && inside(s.task, i)).length;
  $("spoken").textContent = left ? `${left} pixels left` : "All pixels given. Enter sends.";
  $("before").textContent = left ? `${left} pixels left` : "All pixels are given: Enter sends them.";
  draw();
}

function finish() {
  if (!s.byPixel) {
    if (s.task.guess !== null) give(s.task.guess);
  } else if (s.patch.every((v, i) => v !== UNANSWERED || !inside(s.task, i))) {
    send("answer", s.patch);
  } else {
    tellPixels();
  }
}

async function undo() {
  if (s.busy || !s.history.length) return;
  s.busy = true;
  const query = s.history.shift();
  s.answered.delete(query);
  const current = s.resume || s.task;
  const known = await find(query);
  s.busy = false;
  if (known) known.answer = null;
  keep("undo", query, null);
  s.place = -1;
  if (current && current.query !== query) s.upcoming.unshift(current);
  s.resume = null;
  if (known) show(known);
}

async function find(query) {
  if (!s.known.has(query)) {
    const { status, found } = await ask(`/api/task/${query}`);
    if (status !== 200) return null;
    s.known.set(query, found);
  }
  return s.known.get(query);
}

async function look(step) {
  const place = s.place + step;
  if (s.busy || place >= s.history.length || place < -1) return;
  s.busy = true;
  const task = place < 0 ? s.resume : await find(s.history[place]);
  s.busy = false;
  if (s.place < 0) s.resume = s.task;
  if (place < 0) s.resume = null;
  s.place = place;
  if (task) show(task);
  else if (place < 0) ask("/api/next", {}).then(({ found }) => goOn(found));
}

function zoom(step) {
  s.zoom = Math.min(Math.max(s.zoom + step, 0), ZOOMS.length - 1);
  showPixels();
  draw();
}

function shine(step) {
  s.light = Math.min(Math.max(s.light + step, -3), 4);
  draw();
}

function togglePixels() {
  if (!s.about.radius || !s.ready) return;
  s.byPixel = !s.byPixel;
  if (s.byPixel) {
    s.zoomBefore = s.zoom;
    s.zoom = Math.max(s.zoom, fitting(s.task, ZOOMS.at(-1)));
  } else {
    s.zoom = s.zoomBefore;
  }
  // From the first pixel on.
  s.cell = s.byPixel ? Math.max(0, s.patch.findIndex((_, i) => inside(s.task, i))) : s.cell;
  showPixels();
  draw();
}

function theRest() {
  if (s.last === null) return;
  s.patch = s.patch.map((v, i) => (v === UNANSWERED && inside(s.task, i) ? s.last : v));
  tellPixels();
}

function move(down, right) {
  const side = 2 * s.task.radius + 1;
  const row = Math.floor(s.cell / side) + down;
  const col = (s.cell % side) + right;
  const cell = row * side + col;
  if (row >= 0 && row < side && col >= 0 && col < side && inside(s.task, cell)) s.cell = cell;
  draw();
}

const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const KEYS = {
  Enter: finish, v: () => give(VOID), s: () => { if (s.task) send("skip", null); }, u: undo,
  b: () => look(1), ArrowLeft: () => look(1), ArrowRight: () => look(-1),
  "+": () => zoom(1), "=": () => zoom(1), "-": () => zoom(-1),
  ",": () => shine(-1), ".": () => shine(1), x: togglePixels, a: () => { if (s.byPixel) theRest(); },
  "/": () => $("sought").focus(),
};

// Whether a key is the page's; what a focused button or field does with it comes first.
function pressed(event) {
  const at = document.activeElement;
  if (event.ctrlKey || event.metaKey || event.altKey || !s.about) return false;
  if ($("answering").hidden && !["u", "b", "ArrowLeft"].includes(event.key)) return false;
  if (at.tagName === "INPUT" || (["BUTTON", "A"].includes(at.tagName) && [" ", "Enter"].includes(event.key))) return false;
  // A key held down answers once.
  if (event.repeat && !(event.key in ARROWS)) return true;
  if (s.busy) return true;
  const pad = /^Numpad([1-9])$/.exec(event.code);
  if (s.byPixel && s.about.radius === 1 && pad) {
    const cell = (2 - Math.floor((pad[1] - 1) / 3)) * 3 + ((pad[1] - 1) % 3);
    if (inside(s.task, cell)) s.cell = cell;
    draw();
    return true;
  }
  if (s.byPixel && event.key in ARROWS) { move(...ARROWS[event.key]); return true; }
  const index = s.about.classes.findIndex((c) => c.key === event.key);
  s.pressedAt = performance.now();
  if (index >= 0) give(index);
  else if (event.key in KEYS) KEYS[event.key]();
  else if (event.key.toLowerCase() in KEYS) KEYS[event.key.toLowerCase()]();
  else return false;
  return true;
}

document.addEventListener("keydown", (event) => { if (pressed(event)) event.preventDefault(); });
// After a click Enter is the guess's again; who comes by Tab keeps the focus.
document.addEventListener("click", (event) => { if (event.detail > 0 && document.activeElement.tagName === "BUTTON") document.activeElement.blur(); });
for (const [id, act] of Object.entries({
  guess: finish, void: KEYS.v, skip: KEYS.s, undo, back: KEYS.b, forward: () => look(-1),
  pixels: togglePixels, rest: theRest, out: KEYS["-"], in: KEYS["+"], darker: KEYS[","], brighter: KEYS["."],
  undo2: undo, back2: KEYS.b,
})) {
  $(id).addEventListener("click", () => {
    s.pressedAt = performance.now();
    if (!s.busy) act();
  });
}
$("told").addEventListener("click", () => tells(""));
$("crop").addEventListener("pointerdown", (event) => {
  if (!s.byPixel) return;
  const scale = ZOOMS[s.zoom];
  const side = 2 * s.task.radius + 1;
  const from = [$("crop").clientWidth, $("crop").clientHeight].map((n) => n / 2 - (side * scale) / 2);
  const [col, row] = [event.offsetX - from[0], event.offsetY - from[1]].map((n) => Math.floor(n / scale));
  const cell = row * side + col;
  if (Math.min(row, col) >= 0 && Math.max(row, col) < side && inside(s.task, cell)) { s.cell = cell; draw(); }
});
$("sought").addEventListener("input", () => {
  const text = $("sought").value.toLowerCase();
  for (const button of $("classes").children) button.hidden = !button.title.toLowerCase().includes(text);
});
$("sought").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" && event.key !== "Escape") return;
  const first = [...$("classes").children].find((button) => !button.hidden);
  const sought = $("sought").value;
  $("sought").value = "";
  for (const button of $("classes").children) button.hidden = false;
  $("sought").blur();
  event.preventDefault();
  event.stopPropagation();
  if (event.key === "Enter" && sought && first) give(Number(first.dataset.index));
});
window.addEventListener("online", () => hurry());
new ResizeObserver(() => draw()).observe($("crop"));
start();
