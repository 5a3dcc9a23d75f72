import { element } from "./elements.js";

/** A moment in the reader's own time zone; the day is left out where it is today. */
export function momentElement(iso) {
  const moment = new Date(iso);
  const isToday = moment.toDateString() === new Date().toDateString();
  const short = new Intl.DateTimeFormat(undefined, { dateStyle: isToday ? undefined : "medium", timeStyle: "medium" });
  const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
  return element("time", { datetime: iso, title: whole.format(moment) }, short.format(moment));
}
