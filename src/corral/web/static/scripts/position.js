/** Values the lots at the position's price, which account.js keeps up to date. */

import "./engine.js";
import { difference, product } from "./decimals.js";
import { writeFigure } from "./figures.js";

const price = document.querySelector("#positions [data-cell=current_price]");
const lots = document.querySelector("table.lots");

const isOneCurrency = lots?.dataset.currency === price?.dataset.currency;

if (price && lots && isOneCurrency) new MutationObserver(valueLots).observe(price, { attributeFilter: ["value"] });

function valueLots() {
  for (const row of lots.tBodies[0].rows) {
    const [qty, cost, gain] = ["qty", "cost", "gain"].map((name) => row.querySelector(`[data-lot=${name}] data`));
    if (!gain) continue;
    gain.value = difference(product(qty.value, product(price.value, lots.dataset.multiplier)), cost.value);
    writeFigure(gain);
  }
}
