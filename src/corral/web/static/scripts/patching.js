/**
 * Makes a part of the page equal to a newer one, and changes nothing else: what is the same in both stays the same node,
 * with its focus, its selection, what was typed into it, and whether it is open.
 */

import { highlight, writeFigure } from "./figures.js";

const READERS = "open"; // the attribute of `<details>` that belongs to the reader
const OF_FIGURES = ["value", "data-currency", "data-before"];

/** Nodes of `wanted`, which is of another document, may become part of the page. */
export function patch(current, wanted) {
  if (current.isEqualNode(wanted)) return;
  if (current.nodeType !== Node.ELEMENT_NODE) current.data = wanted.data;
  else if (current.localName === "data") patchFigure(current, wanted);
  else {
    patchAttributes(current, wanted);
    patchChildren(current, [...wanted.childNodes]);
  }
}

/** The texts differ in a language other than the server's. */
function patchFigure(current, wanted) {
  if (OF_FIGURES.every((name) => current.getAttribute(name) === wanted.getAttribute(name))) return;
  patchAttributes(current, wanted);
  writeFigure(current);
  highlight(current);
}

function patchAttributes(current, wanted) {
  for (const name of current.getAttributeNames()) {
    if (name !== READERS && !wanted.hasAttribute(name)) current.removeAttribute(name);
  }
  for (const name of wanted.getAttributeNames()) {
    const value = wanted.getAttribute(name);
    if (name !== READERS && current.getAttribute(name) !== value) current.setAttribute(name, value);
  }
}

function patchChildren(parent, wanted) {
  const before = [...parent.childNodes];
  const kept = pairUp(before, wanted, identityOf);
  const staying = new Set(kept);
  for (const node of before) if (!staying.has(node)) node.remove();
  let next = parent.firstChild;
  wanted.forEach((node, index) => {
    const old = kept[index];
    if (!old) return insert(parent, node, next);
    patch(old, node);
    // A node that is moved loses the focus, so the others are moved around it.
    while (old !== next && old.contains(document.activeElement)) next = moveToEnd(next);
    if (old === next) next = next.nextSibling;
    else parent.insertBefore(old, next);
  });
}

function insert(parent, node, next) {
  parent.insertBefore(node, next);
  if (node.localName === "data") writeFigure(node);
  for (const figure of node.querySelectorAll?.("data[class]") ?? []) writeFigure(figure);
}

/** Returns the sibling that was behind it. */
function moveToEnd(node) {
  const { nextSibling, parentNode } = node;
  parentNode.append(node);
  return nextSibling;
}

/** Rows and sections have names, and others are known by their kind: the second `<p>` is the second one again. */
function identityOf(node) {
  if (node.nodeType !== Node.ELEMENT_NODE) return node.nodeName;
  return node.id || node.dataset.row || node.dataset.order || node.localName;
}

/** For each of the `wanted`, returns the one of `current` that has the same identity, or null. None is used twice. */
export function pairUp(current, wanted, identityOf) {
  const unused = new Map();
  for (const one of current) {
    const same = unused.get(identityOf(one));
    if (same) same.push(one);
    else unused.set(identityOf(one), [one]);
  }
  return wanted.map((one) => unused.get(identityOf(one))?.shift() ?? null);
}
