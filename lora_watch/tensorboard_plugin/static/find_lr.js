// The sweep that a run's learning rate was found by: loss and output ratio over the rate, and what Python says of it.

import {lineChart, logTicks} from './chart.js';
import {card, em, h, list, num, split} from './dom.js';
import {Matrix} from './matrix.js';

/**
 * The card of a run that was swept before it began; null for any other.
 * @param {import('./app.js').App} app
 */
export function foundCard(app, width) {
  const found = app.schema.config?.find_lr,
    rates = numbers(found?.curve?.rate),
    n = rates.length;
  if (n < 2) return null;
  const page = split(width - 26, [3, 2], 24),
    [low, high] = [Math.log10(rates[0]), Math.log10(rates[n - 1])],
    place = (rate) => 1 + ((n - 1) * (Math.log10(rate) - low)) / (high - low); // rates rise in equal ratios
  const over = {
    width: page.widths[0],
    range: [1, n],
    axis: 'rate',
    ticks: logTicks(low, high, page.widths[0] / em(70))
      .filter((rate) => place(rate) > n / 20) // before it stands the name of the axis
      .map((rate) => [place(rate), num(rate)]),
    say: (step) => num(rates[step - 1]),
    marks: [
      {rate: found.rate, name: 'suggestion', kind: 'ok'},
      {rate: found.edge, name: found.edge_rule ? `edge, ${found.edge_rule}` : 'edge', kind: 'error'},
    ]
      .filter(({rate}) => rate != null)
      .map((mark) => ({...mark, at: place(mark.rate)})),
  };
  const {loss, smoothed, output_ratio: ratio} = found.curve,
    highest = Math.max(...numbers(smoothed).filter(Number.isFinite)); // Python has cut off what explodes
  const losses = [
    {name: 'loss', matrix: matrixOf(numbers(loss).map((one) => (one > highest ? Number.NaN : one))), thin: true},
    {name: 'loss, mean of five', matrix: matrixOf(numbers(smoothed))},
  ].map((line) => ({...line, colour: 'var(--c1)'}));
  const ratios = [{name: 'size of the adapters', matrix: matrixOf(numbers(ratio)), colour: 'var(--c2)'}];
  return card(
    found.rate == null ? 'The sweep found no learning rate' : 'Learning rate, found by a sweep',
    `${n} steps before the run`,
    h(
      'div',
      {class: 'sweep', id: 'found', style: page.style},
      h(
        'div',
        null,
        lineChart(losses, {...over, height: em(180), term: 'loss, mean of five'}),
        lineChart(ratios, {...over, height: em(140), log: true, term: ratios[0].name, thresholds: [{value: 1}]}),
      ),
      list('words', found.sentences ?? []),
    ),
  );
}

/** A column as numbers: what JSON has no number for is written by its name. */
const numbers = (column) => (column ?? []).map((value) => (value == null ? Number.NaN : Number(value)));

function matrixOf(column) {
  const steps = column.map((_, i) => i + 1),
    values = Float32Array.from(column);
  const header = {shape: [column.length, 1], first: steps, last: steps, width: 1, notes: []};
  return new Matrix({...header, pooled: false}, values, values, new Uint8Array(column.length));
}
