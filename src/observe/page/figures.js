"use strict";
/* How figures are written, and elements made. Pure. */

/** Where a bucket begins: it is as wide as a quarter of the power of two below its bound. */
function lowerBound(bound) {
  return bound < 8 ? Math.max(0, bound - 1) : bound - 2 ** Math.floor(Math.log2(bound)) / 4;
}

/** Three digits and a unit. */
function time(ns) {
  if (ns === null || ns === undefined) return "–";
  if (ns === 0) return "0";
  const units = [[1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]];
  const [size, unit] = units.find(([size]) => ns >= size * 0.9995) || units[3];
  return `${threeDigits(ns / size, unit === "ns")} ${unit}`;
}

function bytes(count) {
  if (count === null || count === undefined) return "–";
  const units = [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"]];
  const [size, unit] = units.find(([size]) => count >= size * 0.9995) || [1, "B"];
  return `${threeDigits(count / size, unit === "B")} ${unit}`;
}

function threeDigits(value, whole) {
  if (whole || value >= 99.95) return String(Math.round(value));
  return value.toFixed(value >= 9.995 ? 1 : 2);
}

function number(count) {
  return count === null || count === undefined ? "–" : Math.round(count).toLocaleString("en");
}

function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1 %";
  return `${share >= 0.0995 ? Math.round(share * 100) : (share * 100).toFixed(1)} %`;
}

function since(seconds) {
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const at = units.findIndex(([size]) => seconds >= size);
  if (at < 0) return "0 s";
  const [size, unit] = units[at];
  const rest = at < 2 ? Math.floor((seconds % size) / units[at + 1][0]) : 0;
  return `${Math.floor(seconds / size)} ${unit}${rest ? ` ${rest} ${units[at + 1][1]}` : ""}`;
}

/* Elements: made from values, never from text that is parsed. */

const SVG = "http://www.w3.org/2000/svg";
const SVG_NAMES = new Set(["svg", "g", "path", "circle", "rect", "line", "text", "title", "defs", "pattern"]);

function make(name, attributes = {}, ...children) {
  const element = SVG_NAMES.has(name) ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function byId(id) {
  return document.getElementById(id);
}

/** Changes text only where it differs, so that a reader's selection survives the next second. */
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** One child for each item, made once and changed in place, in the items' order. */
function keyed(parent, items, key, create, update) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, place) => {
    const name = String(key(item));
    let child = known.get(name);
    known.delete(name);
    if (!child) {
      child = create(item);
      child.dataset.key = name;
    }
    if (parent.children[place] !== child) parent.insertBefore(child, parent.children[place] || null);
    update(child, item);
  });
  known.forEach((child) => child.remove());
}
