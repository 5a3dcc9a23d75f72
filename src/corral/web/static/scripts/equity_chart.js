/** The chart of an account's equity. Its numbers are floats, for drawing only: what is read is Alpaca's own text. */

import {
  AreaSeries,
  BaselineSeries,
  LineStyle,
  LineType,
  createChart,
} from "../vendor/lightweight-charts.js";
import { Problem, read as ask } from "./api.js";
import { element } from "./elements.js";
import { formatAxis, writeFigure } from "./figures.js";

const WEEKDAY_AND_TIME = { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" };
const DAY = { day: "numeric", month: "short", year: "numeric" };
const OPENS = "09:30";
const CLOSES = "16:00";

const holder = document.getElementById("equity-chart");
const reading = document.getElementById("reading");
const whole = reading ? [...reading.childNodes] : [];
if (holder) await begin();

async function begin() {
  try {
    const history = await ask(holder.dataset.history);
    const points = pointsOf(history.items);
    if (points.length > 1) draw(points, history.base_value);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem; // the table is there, and says the same
  }
}

/** One for each moment, in the exchange's own time, which the library takes for UTC. */
function pointsOf(items) {
  const first = items.findIndex(({ equity }) => equity !== null && Number(equity) !== 0);
  const told = first < 0 ? [] : items.slice(first).filter(({ equity }) => equity !== null);
  const byTime = new Map(told.map((item) => [timeOf(item.at), item]));
  return [...byTime].map(([time, item]) => ({ ...item, time, value: Number(item.equity) }));
}

function timeOf(at) {
  const local = new Date(at).toLocaleString("sv-SE", { timeZone: "America/New_York" }); // 2026-11-24 09:30:00
  return isIntraday() ? Date.parse(`${local.replace(" ", "T")}Z`) / 1000 : local.slice(0, 10);
}

function draw(points, baseValue) {
  reading.querySelector("[data-last]").textContent = momentOf(points, points.at(-1));
  holder.hidden = false;
  document.querySelector("[data-chart-notes]").hidden = false;
  // The logo is markup from a string, which no page of ours takes; its link stands below the chart as text.
  const chart = createChart(holder, { autoSize: true, layout: { attributionLogo: false } });
  const extended = chart.addSeries(AreaSeries, {
    priceScaleId: "hours",
    lineType: LineType.WithSteps,
    lineVisible: false,
    crosshairMarkerVisible: false,
    lastValueVisible: false,
    priceLineVisible: false,
    autoscaleInfoProvider: () => ({ priceRange: { minValue: 0, maxValue: 1 } }),
  });
  chart.priceScale("right").applyOptions({ entireTextOnly: true });
  chart.priceScale("hours").applyOptions({ scaleMargins: { top: 0, bottom: 0 }, visible: false });
  extended.setData(points.map((point) => ({ time: point.time, value: isExtended(point) ? 1 : 0 })));
  const line = baseValue === null ? chart.addSeries(AreaSeries) : chart.addSeries(BaselineSeries);
  line.setData(points);
  if (baseValue !== null) line.applyOptions({ autoscaleInfoProvider: (found) => reachingTo(Number(baseValue), found()) });
  const base = baseValue === null ? null : line.createPriceLine({ price: Number(baseValue), axisLabelVisible: false });
  const dress = () => dressed(chart, line, extended, base, baseValue);
  dress();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", dress);
  chart.timeScale().fitContent();
  chart.subscribeCrosshairMove(({ time }) => read(points, time));
  goByKeys(chart, line, points);
  document.querySelector("[data-equity-table]").open = false;
}

function dressed(chart, line, extended, base, baseValue) {
  const [ink, grid, gain, loss, hours] = ["ink-quiet", "line", "gain", "loss", "extended"].map(colourOf);
  chart.applyOptions({
    layout: {
      background: { color: "transparent" },
      textColor: ink,
      fontFamily: getComputedStyle(holder).fontFamily,
    },
    grid: { vertLines: { visible: false }, horzLines: { color: grid } },
    rightPriceScale: { borderVisible: false },
    timeScale: { borderVisible: false, lockVisibleTimeRangeOnResize: true, timeVisible: isIntraday(), secondsVisible: false },
    crosshair: { vertLine: { color: ink, labelVisible: false }, horzLine: { color: ink, labelVisible: false } },
    localization: { tickmarksPriceFormatter: (prices) => formatAxis(prices, holder.dataset.currency) },
    handleScroll: { vertTouchDrag: false },
  });
  line.applyOptions({
    ...(baseValue === null ? areaOf(gain) : baselineOf(gain, loss, baseValue)),
    lineWidth: 2,
    priceLineVisible: false,
    lastValueVisible: false,
  });
  extended.applyOptions({ topColor: hours, bottomColor: hours });
  base?.applyOptions({ color: ink, lineStyle: LineStyle.LargeDashed, lineWidth: 1 });
}

/** The range of values in sight, and what profit and loss are counted from. */
function reachingTo(base, found) {
  const range = found?.priceRange;
  if (!range) return found;
  const [minValue, maxValue] = [Math.min(range.minValue, base), Math.max(range.maxValue, base)];
  return { ...found, priceRange: { minValue, maxValue } };
}

function areaOf(colour) {
  return { lineColor: colour, topColor: faint(colour, 0.2), bottomColor: faint(colour, 0) };
}

function baselineOf(gain, loss, baseValue) {
  return {
    baseValue: { type: "price", price: Number(baseValue) },
    topLineColor: gain,
    topFillColor1: faint(gain, 0.22),
    topFillColor2: faint(gain, 0.02),
    bottomLineColor: loss,
    bottomFillColor1: faint(loss, 0.02),
    bottomFillColor2: faint(loss, 0.22),
  };
}

function read(points, time) {
  const point = points.find((one) => same(one.time, time));
  if (!point) return reading.replaceChildren(...whole);
  reading.replaceChildren(
    element("span", { class: "of-span" }, figure("gain", point.profit_loss), " ", figure("percent", point.profit_loss_pct)),
    " ",
    element("span", { class: "quiet" }, figure("money", point.equity), " ", momentOf(points, point)),
  );
}

function figure(kind, value) {
  if (value === null) return "";
  const node = element("data", { class: kind, value, "data-currency": holder.dataset.currency });
  writeFigure(node);
  return node;
}

/** In the exchange's time, of which the reader's language writes the day. */
function momentOf(points, point) {
  if (holder.dataset.unfinished !== undefined && point === points.at(-1)) return "today so far";
  const form = new Intl.DateTimeFormat(undefined, { ...(isIntraday() ? WEEKDAY_AND_TIME : DAY), timeZone: "America/New_York" });
  const when = form.format(new Date(point.at));
  return isIntraday() ? `on ${when} in New York${isExtended(point) ? ", extended hours" : ""}` : `at the close of ${when}`;
}

/** Left and right go from point to point, Home and End to the first and the last, Escape back to the whole. */
function goByKeys(chart, line, points) {
  let index = points.length;
  const steps = { ArrowLeft: () => index - 1, ArrowRight: () => index + 1, Home: () => 0, End: () => points.length - 1 };
  holder.addEventListener("keydown", (event) => {
    const step = steps[event.key];
    if (step) {
      const wanted = step();
      index = wanted < 0 ? 0 : wanted < points.length ? wanted : points.length - 1;
      chart.setCrosshairPosition(points[index].value, points[index].time, line);
      reading.ariaLive = "polite";
      read(points, points[index].time);
      event.preventDefault();
    } else if (event.key === "Escape") leave();
  });
  const leave = () => {
    chart.clearCrosshairPosition();
    reading.ariaLive = "off";
    reading.replaceChildren(...whole);
  };
  holder.addEventListener("blur", leave);
}

function same(time, other) {
  const text = typeof other === "object" && other !== null ? dayOf(other) : other;
  return time === text;
}

function dayOf({ year, month, day }) {
  return [String(year), String(month).padStart(2, "0"), String(day).padStart(2, "0")].join("-");
}

function isIntraday() {
  return holder.dataset.intraday !== undefined;
}

function isExtended({ at }) {
  if (!isIntraday()) return false;
  const clock = new Date(at).toLocaleTimeString("sv-SE", { timeZone: "America/New_York" }).slice(0, 5);
  return clock < OPENS || clock > CLOSES;
}

/** A token's colour of the moment as the canvas has it: the library reads red, green and blue only. */
function colourOf(token) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const probe = holder.appendChild(element("span", { class: `colour-of-${token}` }));
  pen.fillStyle = getComputedStyle(probe).color;
  probe.remove();
  pen.fillRect(0, 0, 1, 1);
  const [red, green, blue, alpha] = pen.getImageData(0, 0, 1, 1).data;
  return `rgba(${red}, ${green}, ${blue}, ${alpha / 255})`;
}

function faint(colour, alpha) {
  return colour.replace(/[\d.]+\)$/, `${alpha})`);
}
