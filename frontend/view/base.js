const DATA = JSON.parse(document.getElementById('data').textContent);
const SVG = 'http://www.w3.org/2000/svg';
const $ = (id) => document.getElementById(id);

/** An element with attributes, listeners (`onclick`) and children; text only ever becomes text nodes. */
function make(tag, attrs = {}, ...children) {
  return fill(document.createElement(tag), attrs, children);
}

function draw(tag, attrs = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attrs, children);
}

function fill(node, attrs, children) {
  for (const [key, value] of Object.entries(attrs)) {
    if (value === undefined || value === false) continue;
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else if (key === 'css') Object.assign(node.style, value);
    else node.setAttribute(key, value);
  }
  node.append(...children.filter((c) => c !== undefined && c !== null));
  return node;
}

function bytes(n) {
  if (n < 1024) return `${n} B`;
  for (const unit of ['KiB', 'MiB', 'GiB']) {
    n /= 1024;
    if (n < 1024 || unit === 'GiB') return `${n < 10 ? n.toFixed(2) : n.toFixed(1)} ${unit}`;
  }
}

const count = (n) => n.toLocaleString('en-US');
const plural = (n, word) => `${count(n)} ${word}${n === 1 ? '' : word.endsWith('h') ? 'es' : 's'}`;

const KINDS = {
  elementwise: ['elementwise', '#4c86ee'], reduction: ['reduction', '#e88b1a'], contraction: ['contraction', '#8b5bd9'],
  view: ['view', '#8c96a8'], indexed: ['indexed', '#12a3a3'], scan: ['scan', '#b98a12'], random: ['random', '#6e9a2a'],
  composite: ['composite', '#d9508c'], source: ['source', '#a98f6c'], control: ['control', '#56617a'],
  tile: ['tile op', '#4c86ee'], plan: ['plan', '#56617a'],
};

const kernelIndex = new Map(DATA.kernels.map((k, i) => [k.name, i]));
const kernelNamed = new Map(DATA.kernels.map((k) => [k.name, k]));

/** Hues a golden angle apart: neighbours in launch order look different. */
function hue(kernel) {
  return Math.round(((kernelIndex.get(kernel) ?? 0) * 137.508 + 215) % 360);
}
const tint = (kernel) => `hsl(${hue(kernel)} var(--full) var(--tint))`;
const rim = (kernel) => `hsl(${hue(kernel)} 42% var(--rim))`;
const strong = (kernel) => `hsl(${hue(kernel)} 60% var(--strong))`;

const tip = $('tip');
function showTip(event, text) {
  tip.textContent = text;
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.min(event.clientX + 14, innerWidth - width - 8)}px`;
  tip.style.top = `${event.clientY + 18 + height > innerHeight ? event.clientY - height - 10 : event.clientY + 18}px`;
}
const hideTip = () => { tip.hidden = true; };
