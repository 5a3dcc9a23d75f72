/** Draws equity over time on a canvas. It draws floats; the texts next to it come from Alpaca's decimal strings. */

import uPlot from "../vendor/uplot.js";
import { element } from "./elements.js";
import { formatAxis, formatAxisPercent } from "./figures.js";
import { isExtended, timeLabels } from "./equity_points.js";

const COLORS = ["ink-quiet", "line", "gain", "loss", "extended"];
const LABEL_HEIGHT_PX = 26; // of the time axis
const LABEL_GAP_PX = 8;
const MARKER_PX = 5;
// 1, 2 and 5 times a power of ten, so that labels need few digits.
const STEPS = Array.from({ length: 93 }, (_, index) => Number(`${[1, 2, 5][index % 3]}e${Math.floor(index / 3) - 12}`));

/**
 * Draws into `container`. `baseValue` is what profit and loss are counted from, or null. `isIntraday`, `zone`,
 * `currency` and `hidesAmounts` are for the axes. `onSelect` gets the index of the point at the pointer or null.
 * Returns `{ update(points), select(index), clear() }`. The page keeps the wheel and vertical panning.
 */
export function plotEquity(container, points, { onSelect, ...options }) {
  const state = { ...options, ...scaleOf(points, options), points, colors: readColors(container) };
  const plot = new uPlot(plotOptions(container, state, onSelect), dataOf(state), container);
  new ResizeObserver(() => plot.setSize(sizeOf(container))).observe(container);
  onColorChange(() => {
    state.colors = readColors(container);
    plot.redraw();
  });
  followTouch(plot);
  return {
    update(changed) {
      state.points = changed;
      plot.setData(dataOf(state));
    },
    select(index) {
      plot.setCursor({ left: plot.valToPos(index, "x"), top: plot.valToPos(plot.data[1][index], "y") });
    },
    clear: () => plot.setCursor({ left: -1, top: -1 }),
  };
}

/** What is drawn: amounts, or with hidden amounts their distance to the starting value as a factor. */
function scaleOf(points, { baseValue, currency, hidesAmounts }) {
  const base = baseValue === null ? null : Number(baseValue);
  if (!hidesAmounts) return { base, valueOf: ({ equity }) => Number(equity), labelsOf: (values) => formatAxis(values, currency) };
  const whole = base || Number(points[0].equity);
  return { base: base && 0, valueOf: ({ equity }) => Number(equity) / whole - 1, labelsOf: formatAxisPercent };
}

/** Points are drawn at equal distances, so that nights and weekends take no space. */
function dataOf({ points, valueOf }) {
  return [points.map((_, index) => index), points.map(valueOf)];
}

function sizeOf({ clientWidth, clientHeight }) {
  return { width: clientWidth, height: clientHeight };
}

function plotOptions(container, state, onSelect) {
  return {
    ...sizeOf(container),
    legend: { show: false },
    padding: [LABEL_GAP_PX, null, null, 0],
    cursor: {
      y: false,
      drag: { x: false, y: false, setScale: false },
      bind: { dblclick: () => null },
      points: { size: 9, width: 0, fill: ({ cursor }) => colorAt(state, cursor.idx) },
    },
    scales: {
      x: { time: false, range: (plot) => [0, Math.max(1, plot.data[0].length - 1)] },
      y: { range: (_, low, high) => paddedRange(low, high, state.base) },
    },
    axes: [timeAxis(container, state), valueAxis(container, state)],
    series: [{}, equityLine(state)],
    hooks: {
      drawClear: [(plot) => shadeExtendedHours(plot, state)],
      draw: [(plot) => drawBase(plot, state), (plot) => drawMarks(plot, state)],
      setCursor: [({ cursor }) => onSelect(cursor.idx ?? null)],
    },
  };
}

function timeAxis(container, state) {
  let labels = [];
  return {
    ...axisStyle(container, state),
    size: LABEL_HEIGHT_PX,
    gap: LABEL_GAP_PX,
    grid: { show: false },
    splits: ({ bbox }) => {
      labels = timeLabels(state.points, { ...state, width: bbox.width / uPlot.pxRatio });
      return labels.map(({ index }) => index);
    },
    values: (_, indices) => indices.map((wanted) => labels.find(({ index }) => index === wanted)?.text ?? ""),
  };
}

function valueAxis(container, state) {
  return {
    ...axisStyle(container, state),
    side: 1,
    size: (plot, labels, index) => (labels ? widest(plot, labels, index) + LABEL_GAP_PX : 0),
    gap: LABEL_GAP_PX,
    space: 34,
    incrs: STEPS,
    grid: { stroke: () => state.colors.line, width: 1 },
    splits: (_, index, low, high, step) => multiplesOf(step, low, high),
    values: (_, values) => state.labelsOf(values),
  };
}

function axisStyle(container, state) {
  const { fontFamily, fontSize } = getComputedStyle(container);
  const font = `${Math.round(fontSize.replace("px", ""))}px ${fontFamily}`;
  return { font, stroke: () => state.colors["ink-quiet"], ticks: { show: false } };
}

function widest(plot, labels, index) {
  plot.ctx.font = plot.axes[index].font[0];
  return Math.ceil(Math.max(0, ...labels.map((label) => plot.ctx.measureText(label).width)) / uPlot.pxRatio);
}

function multiplesOf(step, low, high) {
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, index) => (first + index) * step);
}

function paddedRange(low, high, base) {
  const [bottom, top] = base === null ? [low, high] : [Math.min(low, base), Math.max(high, base)];
  const space = (top - bottom) * 0.06 || Math.abs(top) * 0.01 || 1;
  return [bottom - space, top + space];
}

function equityLine(state) {
  return {
    width: 2,
    points: { show: false },
    stroke: (plot) => splitAtBase(plot, state, 1, 1),
    fill: (plot) => splitAtBase(plot, state, 0.22, 0.02),
    fillTo: (plot) => state.base ?? plot.scales.y.min,
  };
}

/** A gradient from gain to loss that changes sharply at the starting value; `far` and `near` it are the opacities. */
function splitAtBase(plot, { colors, base }, far, near) {
  const { top, height } = plot.bbox;
  const gradient = plot.ctx.createLinearGradient(0, top, 0, top + height);
  const split = base === null ? 1 : Math.min(1, Math.max(0, (plot.valToPos(base, "y", true) - top) / height));
  gradient.addColorStop(0, faded(colors.gain, far));
  gradient.addColorStop(split, faded(colors.gain, near));
  gradient.addColorStop(split, faded(colors.loss, near));
  gradient.addColorStop(1, faded(base === null ? colors.gain : colors.loss, far));
  return gradient;
}

function colorAt({ colors, base, points, valueOf }, index) {
  return base === null || valueOf(points[index ?? 0]) >= base ? colors.gain : colors.loss;
}

function shadeExtendedHours(plot, { points, colors, isIntraday }) {
  if (!isIntraday) return;
  const { ctx, bbox } = plot;
  ctx.fillStyle = colors.extended;
  for (const [from, to] of extendedRuns(points)) {
    const [left, right] = [plot.valToPos(from, "x", true), plot.valToPos(to, "x", true)];
    ctx.fillRect(left, bbox.top, right - left, bbox.height);
  }
}

/** A point stands for the time that begins with it, so a run ends at the first point after it. */
function extendedRuns(points) {
  const runs = [];
  for (const [index, point] of points.slice(0, -1).entries()) {
    if (!isExtended(point)) continue;
    if (runs.at(-1)?.[1] === index) runs.at(-1)[1] = index + 1;
    else runs.push([index, index + 1]);
  }
  return runs;
}

function drawBase(plot, { base, colors }) {
  if (base === null) return;
  const y = Math.round(plot.valToPos(base, "y", true)) + 0.5;
  drawLine(plot, colors["ink-quiet"], [6, 5], [plot.bbox.left, y], [plot.bbox.left + plot.bbox.width, y]);
}

/** A dot at the current value, and a triangle with a line at each marked point. */
function drawMarks(plot, state) {
  const last = state.points.length - 1;
  const size = MARKER_PX * uPlot.pxRatio;
  for (const [index, { marker }] of state.points.entries()) {
    if (marker) drawMarker(plot, state, index, size);
  }
  plot.ctx.fillStyle = colorAt(state, last);
  plot.ctx.beginPath();
  plot.ctx.arc(plot.valToPos(last, "x", true), plot.valToPos(plot.data[1][last], "y", true), 0.8 * size, 0, 2 * Math.PI);
  plot.ctx.fill();
}

function drawMarker(plot, { colors }, index, size) {
  const { ctx, bbox } = plot;
  const [x, bottom] = [plot.valToPos(index, "x", true), bbox.top + bbox.height];
  drawLine(plot, colors["ink-quiet"], [2, 3], [x, bbox.top], [x, bottom]);
  ctx.fillStyle = colors["ink-quiet"];
  ctx.beginPath();
  ctx.moveTo(x, bottom - 1.6 * size);
  ctx.lineTo(x + size, bottom);
  ctx.lineTo(x - size, bottom);
  ctx.fill();
}

function drawLine({ ctx }, color, dash, from, to) {
  ctx.save();
  ctx.strokeStyle = color;
  ctx.lineWidth = uPlot.pxRatio;
  ctx.setLineDash(dash.map((length) => length * uPlot.pxRatio));
  ctx.beginPath();
  ctx.moveTo(...from);
  ctx.lineTo(...to);
  ctx.stroke();
  ctx.restore();
}

/** A finger that moves sideways moves the crosshair; one that moves up or down scrolls the page (`touch-action`). */
function followTouch(plot) {
  const follow = (event) => {
    if (event.pointerType === "mouse") return;
    const { left, top } = plot.over.getBoundingClientRect();
    plot.setCursor({ left: event.clientX - left, top: event.clientY - top });
  };
  plot.over.addEventListener("pointermove", follow);
  plot.over.addEventListener("pointercancel", () => plot.setCursor({ left: -1, top: -1 }));
}

function onColorChange(redraw) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
}

/** The current colors of CSS tokens as RGB, whose opacity can be changed. */
function readColors(container) {
  return Object.fromEntries(COLORS.map((token) => [token, colorOf(container, token)]));
}

function colorOf(container, token) {
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

function faded(color, alpha) {
  return color.replace(/[\d.]+\)$/, `${alpha})`);
}
