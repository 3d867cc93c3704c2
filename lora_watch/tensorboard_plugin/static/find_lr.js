// The sweep that a run's learning rate was found by: loss and output ratio over the rate, and what Python says of it.

import {logTicks, ticks} from './chart.js';
import {card, em, h, num, plain, split, svg, tip, tipRow} from './dom.js';
import {exportButtons, tableOf} from './export.js';

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
    [`${found.curve.rate.length} steps before the run`, exportButtons('find_lr', () => tableOf(rowsOf(found.curve)))],
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

const rowsOf = ({rate, loss, smoothed, output_ratio: ratio}) => [
  ['learning rate', 'loss', 'smoothed loss', 'depth-scaled output ratio'],
  ...rate.map((at, i) => [at, loss[i], smoothed?.[i], ratio[i]]),
];

/** From values to pixels; both ends are drawn. */
const axis = (low, high, start, end) => (value) => start + ((value - low) / (high - low || 1)) * (end - start);

function plot(found, width) {
  const PAD = {left: em(58), right: em(16), top: em(14), bottom: em(38), gap: em(20)},
    height = em(330),
    right = width - PAD.right,
    foot = height - PAD.bottom,
    middle = PAD.top + (foot - PAD.top - PAD.gap) * 0.6;
  const curve = found.curve,
    rates = numbers(curve.rate),
    ends = [Math.log10(rates[0]), Math.log10(rates.at(-1))],
    place = axis(ends[0], ends[1], PAD.left, right),
    X = (rate) => place(Math.min(Math.max(Math.log10(rate), ends[0]), ends[1]));
  const show = (event) => {
    const away = (rate) => Math.abs(X(rate) - (event.clientX - event.currentTarget.getBoundingClientRect().left));
    const i = rates.reduce((best, rate, k) => (away(rate) < away(rates[best]) ? k : best), 0);
    tip.show(
      event,
      h('b', null, `learning rate ${num(rates[i])}`),
      tipRow(LOSS, 'loss', num(Number(curve.loss[i]))),
      tipRow(RATIO, 'depth-scaled output ratio', num(Number(curve.output_ratio[i]))),
    );
  };
  const root = svg('svg', {
    class: 'chart',
    width,
    height,
    viewBox: `0 0 ${width} ${height}`,
    role: 'img',
    'aria-label': 'loss and depth-scaled output ratio over the learning rate',
    onpointermove: show,
    onpointerleave: () => tip.hide(),
  });
  const label = (x, y, text, attributes) => root.append(svg('text', {x, y, ...attributes}, text));
  for (const rate of logTicks(ends[0], ends[1], (right - PAD.left) / em(70)))
    label(X(rate), foot + em(15), num(rate), {'text-anchor': 'middle'});
  label((PAD.left + right) / 2, height - 6, 'learning rate', {'text-anchor': 'middle', class: 'axis-name'});

  if (found.low != null && found.high != null) {
    const [from, to] = [X(found.low), X(found.high)];
    const at = {x: from, y: PAD.top, width: Math.max(to - from, 1), height: foot - PAD.top};
    root.append(svg('rect', {class: 'plateau', ...at, style: 'fill:var(--ok)'}));
  }
  const panel = (top, bottom, low, high, marks, lines, name, colour, rises) => {
    const Y = axis(low, high, bottom, top);
    for (const [value, text] of marks) {
      root.append(svg('line', {x1: PAD.left, x2: right, y1: Y(value), y2: Y(value), class: 'grid'}));
      label(PAD.left - 6, Y(value) + em(4), text, {'text-anchor': 'end'});
    }
    lines(Y);
    label(PAD.left + 6, rises ? top + em(14) : bottom - 6, name, {style: `fill:${colour}`});
  };
  const line = (values, Y, colour) => {
    const known = values.map((value, i) => [rates[i], value]).filter(([, value]) => Number.isFinite(value));
    const points = known.map(([rate, value]) => `${X(rate).toFixed(1)} ${Y(value).toFixed(1)}`);
    if (points.length) root.append(svg('path', {class: 'line', style: `stroke:${colour}`, d: `M${points.join('L')}`}));
  };

  const losses = numbers(curve.loss),
    smoothed = numbers(curve.smoothed),
    highest = Math.max(...smoothed.filter(Number.isFinite)),
    dots = losses.map((loss, i) => ({loss, rate: rates[i]})).filter(({loss}) => loss <= highest),
    lowest = Math.min(highest, ...dots.map(({loss}) => loss));
  if (Number.isFinite(lowest)) {
    const marks = ticks(lowest, highest, (middle - PAD.top) / em(34)).map((value) => [value, plain(value)]);
    const lossLines = (Y) => {
      for (const {loss, rate} of dots)
        root.append(svg('circle', {class: 'one', cx: X(rate), cy: Y(loss), r: 2.5, style: `fill:${LOSS}`}));
      line(smoothed, Y, LOSS);
    };
    panel(PAD.top, middle, lowest, highest, marks, lossLines, 'loss, mean of five', LOSS, false);
  } else label(PAD.left + 6, PAD.top + em(20), 'no finite loss');

  const ratios = numbers(curve.output_ratio).map((ratio) => (ratio > 0 ? Math.log10(ratio) : Number.NaN)),
    known = ratios.filter(Number.isFinite),
    top = middle + PAD.gap;
  if (known.length) {
    const low = Math.min(...known, -0.3),
      high = Math.max(...known, 0.3);
    const others = logTicks(low, high, (foot - top) / em(24)).filter((value) => Math.abs(Math.log10(value)) > 0.5);
    const marks = [1, ...others].map((value) => [Math.log10(value), num(value)]);
    const ratioLines = (Y) => {
      root.append(svg('line', {x1: PAD.left, x2: right, y1: Y(0), y2: Y(0), class: 'one'}));
      line(ratios, Y, RATIO);
    };
    panel(top, foot, low, high, marks, ratioLines, 'depth-scaled output ratio', RATIO, true);
  } else label(PAD.left + 6, top + em(14), 'depth-scaled output ratio: not measured');

  const marks = [
    [found.rate, 'suggestion', 'ok'],
    [found.edge, found.edge_rule ? `edge, ${found.edge_rule}` : 'edge', 'error'],
  ];
  for (const [rate, name, colour] of marks) {
    if (rate == null) continue;
    const x = X(rate);
    root.append(svg('line', {class: 'found', x1: x, x2: x, y1: PAD.top, y2: foot, style: `stroke:var(--${colour})`}));
    label(x - 4, PAD.top + em(10), name, {'text-anchor': 'end', class: 'found', style: `fill:var(--${colour})`});
  }
  return root;
}
