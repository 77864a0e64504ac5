// Whole records: opens and closes all that is folded inside an element.

export function unfold(root, open) {
  for (const folded of root.querySelectorAll("details")) folded.open = open;
}
