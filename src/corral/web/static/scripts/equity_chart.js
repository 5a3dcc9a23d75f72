/**
 * The chart of equity, of one account or of several: `<div data-equity-chart>`, as `equity_macros.html` writes it.
 *
 * `data-history` is the URL of the history, `data-currency` and `data-intraday` say how to show it, `data-period` names
 * it. For curves over several accounts, `data-account-type` and the currency choose one, and `data-names` has the
 * accounts' names by id. The last point is the current equity: `data-equity` with `data-equity-at`, which other scripts may change at any
 * time. Left and Right move between the points, Home and End to the first and the last, Escape back to the whole period.
 */

import "./engine.js";
import { Problem, read } from "./api.js";
import { HIDES_AMOUNTS, TIME_ZONE } from "./display.js";
import { element } from "./elements.js";
import { plotEquity } from "./equity_plot.js";
import { exchangeDay, isExtended, pointsOf, withCurrentEquity } from "./equity_points.js";
import { writeFigure } from "./figures.js";
import { formatDay, intradayText, timestampText } from "./timestamps.js";

for (const figure of document.querySelectorAll("[data-equity-chart]")) start(figure);

async function start(figure) {
  const table = figure.querySelector("[data-equity-table]");
  try {
    const history = historyIn(await read(figure.dataset.history), figure.dataset);
    const points = withEquityOf(figure, history, pointsOf(history, JSON.parse(figure.dataset.names ?? "{}")));
    if (points.length < 2) throw new Problem({ detail: "Nothing to draw" });
    table.open = false;
    if (history.accounts) showAccounts(figure, history);
    draw(figure, history, points);
  } catch (problem) {
    if ("pending" in figure.dataset) showUnavailable(figure);
    else figure.querySelector("[data-plot]").hidden = true;
    table.open = true; // it has the same numbers
    if (!(problem instanceof Problem)) throw problem;
  } finally {
    table.dataset.settled = "";
  }
}

/** The plot keeps its place, so that the rest of the page does not move. */
function showUnavailable(figure) {
  figure.dataset.unavailable = "";
  figure.querySelector("[data-readout]").textContent = "Equity history isn't available right now.";
}

/** The response is one history, or one for each currency of paper and live. */
function historyIn(response, { currency, accountType }) {
  if (!accountType) return response;
  const found = response.items.find((one) => one.currency === currency && one.account_type === accountType);
  if (!found) throw new Problem({ detail: "Nothing to draw" });
  return found;
}

/** Whose curve it is, and how many are not included: the server may have known of fewer when it sent the page. */
function showAccounts({ dataset }, { accounts, note }) {
  dataset.accounts = accounts.join(" ");
  const line = document.querySelector(`[data-chart-note="${CSS.escape(dataset.currency)}"]`);
  if (!line) return;
  line.textContent = note;
  line.hidden = !note;
}

function withEquityOf({ dataset }, { timeframe, base_value: baseValue }, points) {
  if (!dataset.equity) return points;
  return withCurrentEquity(points, { equity: dataset.equity, at: dataset.equityAt }, timeframe, baseValue);
}

function draw(figure, history, drawn) {
  let points = drawn;
  let selected = null;
  const readout = figure.querySelector("[data-readout]");
  const show = () => readout.replaceChildren(...(selected === null ? periodTexts(figure, points) : pointTexts(figure, points[selected])));
  const chart = plotEquity(figure.querySelector("[data-plot]"), points, {
    baseValue: history.base_value,
    currency: figure.dataset.currency,
    isIntraday: isIntraday(figure),
    zone: TIME_ZONE,
    hidesAmounts: HIDES_AMOUNTS,
    onSelect(index) {
      selected = index;
      show();
    },
  });
  moveByKeys(figure, chart, () => ({ selected, last: points.length - 1 }));
  const follow = () => {
    points = withEquityOf(figure, history, points);
    chart.update(points);
    show();
  };
  new MutationObserver(follow).observe(figure, { attributeFilter: ["data-equity", "data-equity-at"] });
  show();
}

function periodTexts(figure, points) {
  const last = points.at(-1);
  return [
    gainTexts(figure, last, element("span", { class: "quiet" }, figure.dataset.period)),
    element("span", { class: "quiet" }, figureOf(figure, "money", last.equity), " ", pointTime(figure, last)),
  ];
}

function pointTexts(figure, point) {
  const marker = point.marker ? ` · ${point.marker}` : "";
  return [
    gainTexts(figure, point),
    element("span", { class: "quiet" }, figureOf(figure, "money", point.equity), " ", pointTime(figure, point), marker),
  ];
}

function gainTexts(figure, { profit_loss: gain, profit_loss_pct: factor }, ...others) {
  const texts = [figureOf(figure, "gain", gain), " ", figureOf(figure, "percent", factor), " ", ...others];
  return element("span", { class: "period-gain" }, ...texts);
}

function figureOf({ dataset }, kind, value) {
  if (value === null) return "";
  const node = element("data", { class: kind, value, "data-currency": dataset.currency });
  writeFigure(node);
  return node;
}

function pointTime(figure, point) {
  if (point.current) return timestampText(point.current);
  if (!isIntraday(figure)) return `at the close of ${formatDay(exchangeDay(point))}`;
  return `${intradayText(point.at)}${isExtended(point) ? ", extended hours" : ""}`;
}

function moveByKeys(figure, chart, position) {
  const plot = figure.querySelector("[data-plot]");
  const readout = figure.querySelector("[data-readout]");
  const leave = () => {
    readout.ariaLive = "off";
    chart.clear();
  };
  plot.addEventListener("blur", leave);
  plot.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return leave();
    const { selected, last } = position();
    const wanted = { ArrowLeft: (selected ?? last + 1) - 1, ArrowRight: (selected ?? last - 1) + 1, Home: 0, End: last }[event.key];
    if (wanted === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    readout.ariaLive = "polite";
    chart.select(Math.min(last, Math.max(0, wanted)));
    event.preventDefault();
  });
}

function isIntraday({ dataset }) {
  return dataset.intraday !== undefined;
}
