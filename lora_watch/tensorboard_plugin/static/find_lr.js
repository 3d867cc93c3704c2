// The sweep that a run's learning rate was found by: loss and output ratio over the rate, and what Python says of it.

import {gridLines, logTicks, ticks} from './chart.js';
import {card, drawing, em, h, num, split, svg, tip, tipRow} from './dom.js';

const LOSS = 'var(--c1)',
  RATIO = 'var(--c2)';

/**
 * The card of a run that was swept before it began; null for any other.
 * @param {import('./app.js').App} app
 */
export function foundCard(app, width) {
  const found = app.schema.config?.find_lr;
  if (!(found?.curve?.rate?.length > 1)) return null;
  const page = split(width - 26, [3, 2], 24);
  return card(
    'Learning rate, found by a sweep',
    `${found.curve.rate.length} steps before the run`,
    h(
      'div',
      {class: 'sweep', id: 'found', style: page.style},
      plot(found, page.widths[0]),
      h(
        'ul',
        {class: 'words'},
        (found.sentences ?? []).map((line, i) => h('li', {class: i ? null : 'head'}, line)),
      ),
    ),
  );
}

/** Columns as numbers: what JSON has no number for is written by its name. */
const numbers = (column) => (column ?? []).map(Number);

/** From values to pixels; both ends are drawn. */
const axis = (low, high, start, end) => (value) => start + ((value - low) / (high - low || 1)) * (end - start);

function plot(found, width) {
  const curve = found.curve,
    rates = numbers(curve.rate),
    plane = planeOf(rates, width);
  const root = drawing('chart', width, plane.height, 'loss and depth-scaled output ratio over the learning rate', {
    onpointermove: (event) => show(event, curve, rates, plane),
    onpointerleave: () => tip.hide(),
  });
  root.append(
    ...rateAxis(plane),
    ...plateau(found, plane),
    ...lossPanel(curve, rates, plane),
    ...ratioPanel(curve, rates, plane),
    ...marks(found, plane),
  );
  return root;
}

/** Where a rate lies: X(rate), within the edges; the loss is above the gap, the output ratio below it. */
function planeOf(rates, width) {
  const height = em(330),
    left = em(58),
    right = width - em(16),
    top = em(14),
    foot = height - em(38),
    gap = em(20),
    middle = top + (foot - top - gap) * 0.6;
  const ends = [Math.log10(rates[0]), Math.log10(rates.at(-1))],
    place = axis(ends[0], ends[1], left, right),
    X = (rate) => place(Math.min(Math.max(Math.log10(rate), ends[0]), ends[1]));
  return {height, left, right, top, foot, gap, middle, ends, X};
}

/** The numbers of the step whose rate is nearest to the pointer. */
function show(event, curve, rates, {X}) {
  const away = (rate) => Math.abs(X(rate) - (event.clientX - event.currentTarget.getBoundingClientRect().left));
  const i = rates.reduce((best, rate, k) => (away(rate) < away(rates[best]) ? k : best), 0);
  tip.show(
    event,
    h('b', null, `learning rate ${num(rates[i])}`),
    tipRow(LOSS, 'loss', num(Number(curve.loss[i]))),
    tipRow(RATIO, 'depth-scaled output ratio', num(Number(curve.output_ratio[i]))),
  );
}

const label = (x, y, text, attributes = {}) => svg('text', {x, y, ...attributes}, text);

const rateAxis = ({height, left, right, foot, ends, X}) => [
  ...logTicks(ends[0], ends[1], (right - left) / em(70)).map((rate) =>
    label(X(rate), foot + em(15), num(rate), {'text-anchor': 'middle'}),
  ),
  label((left + right) / 2, height - 6, 'learning rate', {'text-anchor': 'middle', class: 'axis-name'}),
];

/** The rates that are as good as the suggestion. */
function plateau({low, high}, {top, foot, X}) {
  if (low == null || high == null) return [];
  const at = {x: X(low), y: top, width: Math.max(X(high) - X(low), 1), height: foot - top};
  return [svg('rect', {class: 'plateau', ...at, style: 'fill:var(--ok)'})];
}

/** The line through the values that are finite; none where there is none. */
function line(values, rates, {X}, Y, colour) {
  const known = values.map((value, i) => [rates[i], value]).filter(([, value]) => Number.isFinite(value));
  const points = known.map(([rate, value]) => `${X(rate).toFixed(1)} ${Y(value).toFixed(1)}`);
  return points.length ? [svg('path', {class: 'line', style: `stroke:${colour}`, d: `M${points.join('L')}`})] : [];
}

/** The loss of each step as a dot, and its running mean; as high as that. */
function lossPanel(curve, rates, plane) {
  const {left, top, middle, X} = plane;
  const smoothed = numbers(curve.smoothed),
    highest = Math.max(...smoothed.filter(Number.isFinite)),
    dots = numbers(curve.loss)
      .map((loss, i) => ({loss, rate: rates[i]}))
      .filter(({loss}) => loss <= highest),
    lowest = Math.min(highest, ...dots.map(({loss}) => loss));
  if (!Number.isFinite(lowest)) return [label(left + 6, top + em(20), 'no finite loss')];
  const Y = axis(lowest, highest, middle, top);
  return [
    ...gridLines(ticks(lowest, highest, (middle - top) / em(34)), plane, Y),
    ...dots.map(({loss, rate}) =>
      svg('circle', {class: 'one', cx: X(rate), cy: Y(loss), r: 2.5, style: `fill:${LOSS}`}),
    ),
    ...line(smoothed, rates, plane, Y, LOSS),
    label(left + 6, middle - 6, 'loss, mean of five', {style: `fill:${LOSS}`}),
  ];
}

/** The depth-scaled output ratio, logarithmic, with a line at one. */
function ratioPanel(curve, rates, plane) {
  const {left, right, foot, gap, middle} = plane;
  const ratios = numbers(curve.output_ratio).map((ratio) => (ratio > 0 ? Math.log10(ratio) : Number.NaN)),
    known = ratios.filter(Number.isFinite),
    top = middle + gap;
  if (!known.length) return [label(left + 6, top + em(14), 'depth-scaled output ratio: not measured')];
  const low = Math.min(...known, -0.3),
    high = Math.max(...known, 0.3),
    Y = axis(low, high, foot, top);
  const others = logTicks(low, high, (foot - top) / em(24)).filter((value) => Math.abs(Math.log10(value)) > 0.5);
  return [
    ...gridLines([1, ...others], plane, (ratio) => Y(Math.log10(ratio)), num),
    svg('line', {x1: left, x2: right, y1: Y(0), y2: Y(0), class: 'one'}),
    ...line(ratios, rates, plane, Y, RATIO),
    label(left + 6, top + em(14), 'depth-scaled output ratio', {style: `fill:${RATIO}`}),
  ];
}

/** The rate that is suggested, and that at which the sweep went wrong. */
const marks = ({rate: suggestion, edge, edge_rule}, {top, foot, X}) =>
  [
    [suggestion, 'suggestion', 'ok'],
    [edge, edge_rule ? `edge, ${edge_rule}` : 'edge', 'error'],
  ]
    .filter(([rate]) => rate != null)
    .flatMap(([rate, name, colour]) => {
      const x = X(rate);
      return [
        svg('line', {class: 'found', x1: x, x2: x, y1: top, y2: foot, style: `stroke:var(--${colour})`}),
        label(x - 4, top + em(10), name, {'text-anchor': 'end', class: 'found', style: `fill:var(--${colour})`}),
      ];
    });
