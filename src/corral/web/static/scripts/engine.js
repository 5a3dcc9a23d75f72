/**
 * Every script of a page imports this first. In a browser older than those of docs/browsers.md it throws, so that none of
 * them runs and the page works as it does without scripts. Styles show a sentence by the same condition.
 */

if (!CSS.supports("(color: light-dark(black, white)) and selector(:popover-open)")) {
  throw new Error("This browser is too old for Corral's scripts. The pages work without them.");
}
