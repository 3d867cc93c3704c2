// Every adapter at every step, for one metric. One row an adapter; a column lasts until the next one was logged.

import {GRADIENT} from './colours.js';
import {em, h, num, term} from './dom.js';
import {gutterWidth, plotOf} from './heat_plot.js';
import {flagWords, INF, NAN, UNKNOWN} from './matrix.js';
import {shade} from './shading.js';

export const title = 'Heatmap';
const MOST = 12;
const side = () => em(268);

/** @param {import('./app.js').App} app */
export async function draw(app) {
  const {state, adapters} = app;
  if (!adapters.length || !state.metric) return h('p', {class: 'empty-page'}, 'This run has no adapters.');
  const controls = toolbar(app);
  const wide = app.width > 3 * side(), // else what stands out comes below
    width = app.width - (wide ? side() + 16 : 0) - 28,
    plot = width - gutterWidth(app) - 4;
  const matrix = await app.metric(state.metric, app.window(Math.max(50, Math.floor(plot / 50) * 50)));
  app.notes = [...new Set([...app.notes, ...matrix.notes])];
  if (!matrix.columns)
    return h('div', null, controls, h('p', {class: 'empty-page'}, 'No step of this metric lies in the chosen range.'));
  // A metric that is measured now and then is still what it was.
  matrix.until = Math.min(app.lastStep, state.to === '' ? Infinity : Number(state.to));
  const painted = shade(matrix);
  return h(
    'div',
    {class: 'heat'},
    controls,
    h(
      'div',
      {class: 'columns', style: `grid-template-columns:minmax(0,1fr)${wide ? ` ${side()}px` : ''}`},
      h('section', {class: 'card'}, legendOf(matrix, painted), plotOf(app, matrix, painted, plot)),
      h(
        'section',
        {class: 'card side'},
        h('header', null, h('h2', null, term(`Stand out at ${matrix.steps(matrix.columnOf(app.step))}`, 'Stand out'))),
        standOut(app, matrix),
      ),
    ),
  );
}

/** @param {import('./app.js').App} app */
const toolbar = (app) =>
  h(
    'div',
    {class: 'toolbar'},
    h(
      'span',
      {class: 'pick'},
      term('Metric', app.state.metric),
      h(
        'select',
        {id: 'metric', 'aria-label': 'metric', onchange: (event) => app.set({metric: event.target.value})},
        app.run.metrics.map((name) => h('option', {value: name, selected: name === app.state.metric}, name)),
      ),
    ),
    h('span', {class: 'note'}, 'drag to zoom, click for the adapter, arrow keys for the steps and adapters'),
  );

function legendOf(matrix, {ends}) {
  return h(
    'div',
    {class: 'scale'},
    h(
      'span',
      {class: 'bar'},
      h('i', {style: `background:${GRADIENT}`}),
      h(
        'span',
        null,
        ends.map((end) => h('span', null, end)),
      ),
    ),
    h('span', {class: 'key'}, h('i', {class: 'nan'}), 'NaN or Inf'),
    h('span', {class: 'key'}, h('i', {class: 'hatched'}), 'not measured'),
    h('span', {class: 'grow'}),
    h(
      'span',
      {class: 'note'},
      matrix.pooled
        ? `${matrix.rows} steps in ${matrix.columns} columns; extremes and NaN kept`
        : `${matrix.rows} ${matrix.rows === 1 ? 'step was' : 'steps were'} read`,
    ),
  );
}

/**
 * The adapters that are farthest from what most have at the step, up or down; broken ones first.
 * @param {import('./app.js').App} app
 */
function standOut(app, matrix) {
  if (app.step < matrix.first[0]) return h('p', {class: 'none'}, 'Nothing was measured up to this step.');
  const base = matrix.columnOf(app.step) * matrix.n;
  const found = app.adapters
    .map((adapter) => ({adapter, value: matrix.high[base + adapter.index], flags: matrix.flags[base + adapter.index]}))
    .filter(({flags}) => !(flags & UNKNOWN))
    .map((one) => ({...one, broken: one.flags & (NAN | INF)}));
  if (!found.some(({broken, value}) => broken || value !== 0))
    return h('p', {class: 'none'}, found.length ? 'Nothing is above zero at this step.' : 'Not measured at this step.');
  const sound = found.filter(({broken}) => !broken).sort((a, b) => a.value - b.value),
    usual = sound[sound.length >> 1]?.value,
    away = ({broken, value}) => (broken ? Infinity : Math.abs(Math.log2(value / usual)));
  const row = ({adapter, value, broken}) =>
    h(
      'button',
      {class: 'row', title: adapter.name, onclick: () => app.set({view: 'layer', adapter: adapter.name})},
      h('span', {class: 'clip'}, adapter.short),
      h('b', null, broken ? flagWords(broken) : num(value)),
      h('small', null, broken ? '' : times(value / usual)),
    );
  found.sort((a, b) => away(b) - away(a) || b.value - a.value);
  return h(
    'ol',
    {class: 'standout'},
    found.slice(0, MOST).map((one) => h('li', null, row(one))),
  );
}

const times = (factor) => (factor < 1 ? `÷ ${num(1 / factor)}` : `× ${num(factor)}`);
