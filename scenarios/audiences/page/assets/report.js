// A report: E unfolds and folds all records, printing unfolds none of them anew, a link to evidence unfolds it.
let whole = false;
addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() !== "e" || event.ctrlKey || event.metaKey || event.altKey) return;
  whole = !whole;
  unfold(document, whole);
});
addEventListener("hashchange", () => {
  const folded = document.querySelector(":target")?.closest("details");
  if (folded) folded.open = true;
});
