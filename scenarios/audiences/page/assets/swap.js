// Puts a new drawing of a step in place of the one before it. What was not there gets the class "new" and appears; what
// the viewer has unfolded stays so.

const keyed = (root, selector) => new Map([...root.querySelectorAll(selector)].map((one) => [one.dataset.key, one]));

export function swap(root, html, { appear }) {
  const drawn = document.createElement("template");
  drawn.innerHTML = html; // the server has escaped every text in it
  const [before, unfolded] = [keyed(root, "[data-key]"), keyed(root, "details[open][data-key]")];
  for (const [key, element] of keyed(drawn.content, "[data-key]")) {
    if (appear && !before.has(key)) element.classList.add("new");
    if (unfolded.has(key)) element.open = true;
  }
  root.replaceChildren(drawn.content);
}
