/** The chart of an account's equity. It draws floats; the texts next to it come from Alpaca's decimal strings. */

import {
  AreaSeries,
  BaselineSeries,
  LineStyle,
  LineType,
  createChart,
} from "../vendor/lightweight-charts.js";
import { Problem, read } from "./api.js";
import { element } from "./elements.js";
import { TIME_ZONE } from "./display.js";
import { formatAxis, writeFigure } from "./figures.js";
import { formatDay, intradayText } from "./timestamps.js";

const EXCHANGE_ZONE = "America/New_York";
const OPENS = "09:30";
const CLOSES = "16:00";

const container = document.getElementById("equity-chart");
const readout = document.getElementById("chart-readout");
const periodReadout = readout ? [...readout.childNodes] : [];
if (container) await start();

async function start() {
  try {
    const history = await read(container.dataset.history);
    const points = pointsOf(history.items);
    if (points.length > 1) draw(points, history.base_value);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem; // the table has the same numbers
  }
}

/** One point for each time. Times are in the chosen zone and days are the exchange's, passed to the library as UTC. */
function pointsOf(items) {
  const first = items.findIndex(({ equity }) => equity !== null && Number(equity) !== 0);
  const known = first < 0 ? [] : items.slice(first).filter(({ equity }) => equity !== null);
  const byTime = new Map(known.map((item) => [timeOf(item.at), item]));
  return [...byTime].map(([time, item]) => ({ ...item, time, value: Number(item.equity) }));
}

function timeOf(at) {
  return isIntraday() ? Date.parse(`${localTime(at, TIME_ZONE).replace(" ", "T")}Z`) / 1000 : dayOfExchange(at);
}

function dayOfExchange(at) {
  return localTime(at, EXCHANGE_ZONE).slice(0, 10);
}

/** `2026-11-24 09:30:00` */
function localTime(at, timeZone) {
  return new Date(at).toLocaleString("sv-SE", { timeZone });
}

function draw(points, baseValue) {
  readout.querySelector("[data-last-point]").textContent = pointTime(points, points.at(-1));
  container.hidden = false;
  document.querySelector("[data-chart-notes]").hidden = false;
  // The library inserts its logo as HTML text, which the pages' policy forbids. The link is below the chart.
  const chart = createChart(container, { autoSize: true, layout: { attributionLogo: false } });
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
  if (baseValue !== null) line.applyOptions({ autoscaleInfoProvider: (found) => extendTo(Number(baseValue), found()) });
  const base = baseValue === null ? null : line.createPriceLine({ price: Number(baseValue), axisLabelVisible: false });
  const applyColors = () => colorChart(chart, line, extended, base, baseValue);
  applyColors();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", applyColors);
  chart.timeScale().fitContent();
  chart.subscribeCrosshairMove(({ time }) => showPoint(points, time));
  moveByKeys(chart, line, points);
  document.querySelector("[data-equity-table]").open = false;
}

function colorChart(chart, line, extended, base, baseValue) {
  const [ink, grid, gain, loss, hours] = ["ink-quiet", "line", "gain", "loss", "extended"].map(colorOf);
  chart.applyOptions({
    layout: {
      background: { color: "transparent" },
      textColor: ink,
      fontFamily: getComputedStyle(container).fontFamily,
    },
    grid: { vertLines: { visible: false }, horzLines: { color: grid } },
    rightPriceScale: { borderVisible: false },
    timeScale: { borderVisible: false, lockVisibleTimeRangeOnResize: true, timeVisible: isIntraday(), secondsVisible: false },
    crosshair: { vertLine: { color: ink, labelVisible: false }, horzLine: { color: ink, labelVisible: false } },
    localization: { tickmarksPriceFormatter: (prices) => formatAxis(prices, container.dataset.currency) },
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

/** Extends the visible range of values to the starting value. */
function extendTo(base, found) {
  const range = found?.priceRange;
  if (!range) return found;
  const [minValue, maxValue] = [Math.min(range.minValue, base), Math.max(range.maxValue, base)];
  return { ...found, priceRange: { minValue, maxValue } };
}

function areaOf(color) {
  return { lineColor: color, topColor: faint(color, 0.2), bottomColor: faint(color, 0) };
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

function showPoint(points, time) {
  const point = points.find((one) => isSameTime(one.time, time));
  if (!point) return readout.replaceChildren(...periodReadout);
  readout.replaceChildren(
    element("span", { class: "period-gain" }, figure("gain", point.profit_loss), " ", figure("percent", point.profit_loss_pct)),
    " ",
    element("span", { class: "quiet" }, figure("money", point.equity), " ", pointTime(points, point)),
  );
}

function figure(kind, value) {
  if (value === null) return "";
  const node = element("data", { class: kind, value, "data-currency": container.dataset.currency });
  writeFigure(node);
  return node;
}

function pointTime(points, point) {
  if (container.dataset.unfinished !== undefined && point === points.at(-1)) return "today so far";
  if (!isIntraday()) return `at the close of ${formatDay(dayOfExchange(point.at))}`;
  return `${intradayText(point.at)}${isExtended(point) ? ", extended hours" : ""}`;
}

/** Left and Right move between points, Home and End to the first and the last, Escape back to the whole period. */
function moveByKeys(chart, line, points) {
  let index = points.length;
  const steps = { ArrowLeft: () => index - 1, ArrowRight: () => index + 1, Home: () => 0, End: () => points.length - 1 };
  container.addEventListener("keydown", (event) => {
    const step = steps[event.key];
    if (step) {
      const wanted = step();
      index = wanted < 0 ? 0 : wanted < points.length ? wanted : points.length - 1;
      chart.setCrosshairPosition(points[index].value, points[index].time, line);
      readout.ariaLive = "polite";
      showPoint(points, points[index].time);
      event.preventDefault();
    } else if (event.key === "Escape") leave();
  });
  const leave = () => {
    chart.clearCrosshairPosition();
    readout.ariaLive = "off";
    readout.replaceChildren(...periodReadout);
  };
  container.addEventListener("blur", leave);
}

function isSameTime(time, other) {
  const text = typeof other === "object" && other !== null ? dayOf(other) : other;
  return time === text;
}

function dayOf({ year, month, day }) {
  return [String(year), String(month).padStart(2, "0"), String(day).padStart(2, "0")].join("-");
}

function isIntraday() {
  return container.dataset.intraday !== undefined;
}

function isExtended({ at }) {
  if (!isIntraday()) return false;
  const clock = localTime(at, EXCHANGE_ZONE).slice(11, 16);
  return clock < OPENS || clock > CLOSES;
}

/** The current color of a CSS token as RGB, which is all that the library reads. */
function colorOf(token) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const probe = container.appendChild(element("span", { class: `color-of-${token}` }));
  pen.fillStyle = getComputedStyle(probe).color;
  probe.remove();
  pen.fillRect(0, 0, 1, 1);
  const [red, green, blue, alpha] = pen.getImageData(0, 0, 1, 1).data;
  return `rgba(${red}, ${green}, ${blue}, ${alpha / 255})`;
}

function faint(color, alpha) {
  return color.replace(/[\d.]+\)$/, `${alpha})`);
}
