// Puts a new drawing of a step in place of the one before it. What was not there gets the class "new" and appears; what
// the viewer has unfolded stays so.

const APPEARING = 500; // ms; as long as the longest animation in page.css
const since = new WeakMap(); // for each place: when what is in it came, by key

const keyed = (root, selector) => new Map([...root.querySelectorAll(selector)].map((one) => [one.dataset.key, one]));

export function swap(root, html, { appear }) {
  const drawn = document.createElement("template");
  drawn.innerHTML = html; // the server has escaped every text in it
  const unfolded = keyed(root, "details[open][data-key]");
  const [came, now] = [since.get(root) ?? new Map(), performance.now()];
  const elements = keyed(drawn.content, "[data-key]");
  for (const [key, element] of elements) {
    const age = now - (came.get(key) ?? (appear ? now : -Infinity));
    if (age < APPEARING) {
      // A beat may come while what the one before it brought still appears: go on from there.
      element.classList.add("new");
      element.style.setProperty("--age", `${-age}ms`);
    }
    if (unfolded.has(key)) element.open = true;
  }
  since.set(root, new Map([...elements.keys()].map((key) => [key, came.get(key) ?? (appear ? now : -Infinity)])));
  root.replaceChildren(drawn.content);
}
