// Elements, numbers and the tooltip. Text always becomes a text node: names of runs and adapters are not trusted.

import {meaning} from './terms.js';

const SVG = 'http://www.w3.org/2000/svg';

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value == null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return element;
}

/** Pixels on a page of 1280: more on a wide one, where the text is larger, too (see style.css). */
export const em = (pixels) =>
  Math.round((pixels / 13) * parseFloat(getComputedStyle(document.documentElement).fontSize));

export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
export const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

/** The root of a drawing: its class, its size, and what it shows in words. */
export const drawing = (name, width, height, label, more = {}) =>
  svg('svg', {
    class: name,
    width,
    height,
    viewBox: `0 0 ${width} ${height}`,
    role: 'img',
    'aria-label': label,
    ...more,
  });

/** What stands in the middle of a drawing that has nothing to show. */
export const nothing = (x, y, why) => svg('text', {x, y, 'text-anchor': 'middle', class: 'empty'}, why);

/** Three significant digits, as short as they can be written. */
export function num(value, smallest = 1e-3) {
  if (value == null) return '–';
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '∞' : '−∞';
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e6 || size < smallest) {
    const [mantissa, exponent] = value.toExponential(size >= 9.995e5 ? 2 : 1).split('e');
    return `${mantissa.replace(/\.?0+$/, '')}e${exponent.replace('+', '')}`.replaceAll('-', '−');
  }
  const text = size >= 1000 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
  return text.replace('-', '−');
}

/** The same, without an exponent for 0.0005: at an axis, or where it is to be typed. */
export const plain = (value) => num(value, 1e-4);

export function percent(share, digits = 0) {
  const size = Math.abs(share * 100).toFixed(digits);
  return `${share < 0 && Number(size) ? '−' : ''}${size} %`;
}

export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

const SPELT = {lr: 'learning rate', b: 'B', non: 'non-'};
/** `norm-explosion` → `Norm explosion`, `b_norm` → `B norm`. */
export const words = (name) => {
  const text = name
    .split(/[-_]/)
    .map((word) => SPELT[word] ?? word)
    .join(' ')
    .replace('- ', '-');
  return /[A-Z]/.test(text.split(' ')[0]) ? text : sentence(text);
};

export const tip = {
  /** @returns {HTMLElement} the one bubble of the page */
  bubble() {
    const found = document.getElementById('tip') ?? h('div', {id: 'tip', role: 'tooltip'});
    if (!found.isConnected) document.body.append(found);
    return found;
  },
  show(event, ...lines) {
    const bubble = this.bubble();
    bubble.replaceChildren(
      ...lines
        .flat()
        .filter((line) => line != null && line !== false)
        .map((line) => (line instanceof Node ? line : h('div', null, line))),
    );
    bubble.style.display = 'block';
    const {offsetWidth: width, offsetHeight: height} = bubble;
    const right = event.clientX + 16 + width < innerWidth;
    bubble.style.left = `${Math.max(4, right ? event.clientX + 14 : event.clientX - 14 - width)}px`;
    bubble.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - height - 6))}px`;
  },
  /** Below what it is about, rather than at the pointer. */
  under(element, ...lines) {
    const {left, bottom} = element.getBoundingClientRect();
    this.show({clientX: left - 14, clientY: bottom - 8}, ...lines);
  },
  hide() {
    this.bubble().style.display = 'none';
  },
};

/** What makes an element a button that a pointer, Enter and Space press. */
export const pressable = (/** @type {(event: Event) => void} */ act) => ({
  tabindex: 0,
  role: 'button',
  onclick: act,
  onkeydown: (event) => {
    if (event.key !== 'Enter' && event.key !== ' ') return;
    event.preventDefault();
    event.stopPropagation();
    act(event);
  },
});

/** A row of the tooltip: a swatch, a name, a number. */
export const tipRow = (colour, name, value) =>
  h('div', {class: 'tip-row'}, h('i', {style: `background:${colour}`}), h('span', null, name), h('b', null, value));

/** Severity, by shape and word as well as by colour. */
export const SEVERITIES = ['ERROR', 'WARNING', 'INFO'];
/** In its place of an alert that no longer counts: the run has gone back for it, and LW910 stands for it. */
export const RECOVERED = 'RECOVERED FROM';
const SHAPES = {
  ERROR: 'M0-6L6 5H-6Z',
  WARNING: 'M0-6L6 0L0 6L-6 0Z',
  INFO: 'M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0Z',
};
export const severityShape = (severity) => SHAPES[severity] ?? SHAPES.INFO;
export const severityIcon = (severity, size = 14) =>
  svg(
    'svg',
    {
      class: `severity ${severityClass(severity)}`,
      viewBox: '-7 -7 14 14',
      width: size,
      height: size,
      'aria-hidden': 'true',
    },
    svg('path', {d: severityShape(severity)}),
  );
/** How many alerts of a severity there are, of the counts that Python has made. */
export const countOf = (counts, severity) => counts[severity.toLowerCase()] ?? 0;
export const severityClass = (severity) =>
  severity === RECOVERED ? 'over' : SEVERITIES.includes(severity) ? severity.toLowerCase() : 'info';

/** A word with its meaning; the bare word where it has none. */
export function term(word, key = word) {
  const text = meaning(key);
  return text ? explained(word, text) : word;
}

/** Something with more to say: a pointer over it, a tap, the focus, Enter and Space show that, and Escape hides it. */
export function explained(shown, text, attributes = {}) {
  const open = ({currentTarget}) => {
    tip.under(currentTarget, text);
    currentTarget.setAttribute('aria-describedby', 'tip');
  };
  const close = ({currentTarget}) => {
    tip.hide();
    currentTarget.removeAttribute('aria-describedby');
  };
  return h(
    'button',
    {
      type: 'button',
      ...attributes,
      class: `term ${attributes.class ?? ''}`.trim(),
      onclick: (event) => {
        event.preventDefault(); // it may stand in a label
        event.stopPropagation();
        open(event);
      },
      onfocus: open,
      onblur: close,
      onpointerenter: open,
      onpointerleave: close,
      onkeydown: (event) => {
        if (event.key !== 'Escape') return;
        event.stopPropagation();
        close(event);
      },
    },
    shown,
  );
}

export const card = (title, note, ...children) =>
  h(
    'section',
    {class: 'card'},
    title && h('header', null, h('h2', null, title), note && h('span', {class: 'note'}, note)),
    children,
  );

/** Lines as a list; nothing where there are none. */
export const list = (name, lines) =>
  lines.length > 0 && h('ul', {class: name}, ...lines.map((line) => h('li', null, line)));

/** Narrower than this, cards stand below one another. */
const NARROW = 700;

/** Columns of a page in these shares, or one below the other: their widths, and the style of the grid. */
export function split(width, shares, gap = 16, narrow = NARROW) {
  if (width < narrow) return {widths: shares.map(() => width), style: 'grid-template-columns:minmax(0,1fr)'};
  const total = shares.reduce((sum, share) => sum + share, 0),
    room = width - gap * (shares.length - 1);
  const widths = shares.map((share) => Math.floor((room * share) / total));
  return {widths, style: `grid-template-columns:${widths.map((one) => `${one}px`).join(' ')}`};
}

/**
 * A pointer over `element`: drawn along, it shows `band`, a rectangle in a drawing over it, and takes the stretch between
 * two places; else a click chooses one. A place is in pixels from the left edge.
 */
export function gestures(element, band, {hover, leave, zoom, choose}) {
  /** @type {number | null} */
  let pressed = null;
  const placeOf = (event) => event.clientX - element.getBoundingClientRect().left;
  const release = () => {
    pressed = null;
    band.style.display = 'none';
  };
  element.addEventListener('pointerdown', (event) => {
    pressed = placeOf(event);
  });
  element.addEventListener('pointermove', (event) => {
    const place = placeOf(event);
    if (pressed != null && Math.abs(place - pressed) > 4) {
      if (!element.hasPointerCapture(event.pointerId)) element.setPointerCapture(event.pointerId);
      band.setAttribute('x', Math.min(place, pressed));
      band.setAttribute('width', Math.abs(place - pressed));
      band.style.display = 'block';
    }
    hover(event, place);
  });
  element.addEventListener('pointerleave', () => {
    leave();
    tip.hide();
  });
  element.addEventListener('pointercancel', release);
  element.addEventListener('click', (event) => {
    const [from, to] = [pressed ?? placeOf(event), placeOf(event)];
    release();
    if (Math.abs(to - from) > 4) zoom(Math.min(from, to), Math.max(from, to));
    else choose(event, to);
  });
}
