/** Writes a `<time>` in the reader's own time zone; the day is left out where it is today. */
export function formatMoment(node, iso = node.dateTime) {
  const moment = new Date(iso);
  const isToday = moment.toDateString() === new Date().toDateString();
  const short = new Intl.DateTimeFormat(undefined, { dateStyle: isToday ? undefined : "medium", timeStyle: "medium" });
  const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
  node.dateTime = iso;
  node.title = whole.format(moment);
  node.textContent = short.format(moment);
}
