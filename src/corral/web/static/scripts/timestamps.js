/** Writes a `<time>` in the reader's time zone, without the date if it is today. */
export function formatTimestamp(node, iso = node.dateTime) {
  const date = new Date(iso);
  const isToday = date.toDateString() === new Date().toDateString();
  const short = new Intl.DateTimeFormat(undefined, { dateStyle: isToday ? undefined : "medium", timeStyle: "medium" });
  const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
  node.dateTime = iso;
  node.title = full.format(date);
  node.textContent = short.format(date);
}
