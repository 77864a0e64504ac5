// The page: follows the run as the server sends it, a step at a time, back and forth.
import { swap } from "./swap.js";
import { unfold } from "./whole.js";

const body = document.body;
const find = (id) => document.getElementById(id);
const speaker = body.dataset.speaker === "yes";
const steps = []; // by number: what the server sent last of each
let shown = -1; // the step on the screen
let drawn = ""; // its number and html, as they are on the screen
let following = true; // whether this viewer goes where the speaker goes
let place = null; // where the speaker is: a step's number, or null for the newest
let ended = false; // whether no beat comes any more
const BOUNCE = 250; // ms: a presenter's button may press twice
let lastPress = -BOUNCE;
let newest = 0; // the number of the last beat that came
let sent = Promise.resolve(); // when the last message has been answered

const keys = {
  on: () => (shown < steps.length - 1 ? go(shown + 1) : press("on")),
  back: () => go(shown - 1),
  next: () => nextStory(),
  newest: () => go(steps.length - 1),
  first: () => go(0),
  language: () => { location.search = `?lang=${body.dataset.following}`; },
  whole: () => {
    const open = body.classList.toggle("whole");
    document.querySelector("[data-key=whole]").setAttribute("aria-pressed", open);
    unfold(find("step"), open);
  },
};
const pressed = {
  " ": "on", Enter: "on", ArrowRight: "on", PageDown: "on", ArrowLeft: "back", PageUp: "back", Backspace: "back",
  n: "next", e: "whole", l: "language", Home: "first", End: "newest",
};

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const name = pressed[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  const control = event.target.closest("button, summary, a");
  if (!name || (control && (event.key === " " || event.key === "Enter"))) return;
  event.preventDefault();
  keys[name]();
});
addEventListener("click", (event) => {
  const button = event.target.closest("footer button");
  if (button) keys[button.dataset.key]();
  const evidence = event.target.closest(".stamps a")?.hash;
  if (evidence) reveal(find(evidence.slice(1)));
});

function reveal(evidence) {
  evidence.closest("details").open = true;
  evidence.scrollIntoView({ block: "nearest" });
}

function go(number) {
  const to = Math.max(0, Math.min(number, steps.length - 1));
  if (speaker) {
    place = to === steps.length - 1 ? null : to;
    post("at", { step: place });
  }
  following = to === (place ?? steps.length - 1);
  show(to);
}

function nextStory() {
  const to = steps.findIndex((step, number) => number > shown && step.story !== steps[shown]?.story);
  if (to > 0) go(to);
  else press("next");
}

function press(key) {
  if (!speaker || performance.now() - lastPress < BOUNCE) return;
  lastPress = performance.now();
  body.classList.remove("waits");
  post("key", { key, seen: newest });
}

// One after the other: two requests at once may arrive in either order, and the audience would go where the first led.
// Where the server has gone, the page says so by itself, and what was shown stays.
function post(what, message) {
  const headers = { "Content-Type": "application/json" };
  sent = sent.then(() => fetch(what, { method: "POST", headers, body: JSON.stringify(message) })).catch(() => {});
}

function show(number) {
  const step = steps[number];
  if (!step) return;
  if (drawn !== number + step.html) {
    const same = number === shown;
    swap(find("step"), step.html, { appear: same || number === steps.length - 1 });
    if (!same) {
      unfold(find("step"), body.classList.contains("whole"));
      scrollTo(0, 0);
    }
    drawn = number + step.html;
    fit(same ? Number(body.dataset.fit ?? 0) : 0);
    if (same && innerWidth <= 720) reach();
  }
  shown = number;
  find("title").textContent = step.title;
  find("place").textContent = [step.place, counted()].filter(Boolean).join(" · ");
  find("clock").textContent = step.clock;
  if (!ended) find("state").textContent = body.dataset.held.replace("{count}", step.held);
  body.classList.toggle("apart", !following);
  body.classList.toggle("waits", speaker && number === steps.length - 1 && step.waits);
}

// A step that does not fit is drawn smaller; while it grows it never becomes larger again. A phone scrolls instead.
function fit(from) {
  const page = document.documentElement;
  for (let degree = from; degree <= 3; degree++) {
    if (degree) body.dataset.fit = degree;
    else delete body.dataset.fit;
    if (page.scrollHeight <= innerHeight || innerWidth <= 720 || body.classList.contains("whole")) return;
  }
}
addEventListener("resize", () => fit(0));

// On a phone, what a command left may lie below the screen.
function reach() {
  find("step").querySelector(".lane:not(.earlier) .cards > :last-child")?.scrollIntoView({ block: "nearest" });
}

function counted() {
  return body.dataset.step.replace("{number}", shown + 1).replace("{count}", steps.length);
}

const events = new EventSource(`events?lang=${body.dataset.language}`);
events.addEventListener("step", (event) => {
  const step = JSON.parse(event.data);
  steps[step.number] = step;
  newest = Number(event.lastEventId);
  if (following) show(place ?? steps.length - 1);
  else if (shown === step.number) show(shown);
  else find("place").textContent = [steps[shown].place, counted()].join(" · ");
  find("told").textContent = step.told;
});
events.addEventListener("at", (event) => {
  place = JSON.parse(event.data).step;
  if (following) show(place ?? steps.length - 1);
});
events.addEventListener("end", () => {
  events.close();
  ended = true;
  find("state").textContent = body.dataset.ended;
});
events.addEventListener("open", () => find("state").classList.remove("lost"));
events.addEventListener("error", () => {
  find("state").classList.add("lost");
  find("state").textContent = body.dataset.lost;
});
