// Every adapter at every step, for one metric. One row an adapter; a column lasts until the next one was logged.

import {gradient} from './colours.js';
import {em, h, term} from './dom.js';
import {gutterWidth, plotOf} from './heat_plot.js';
import {medians, shade} from './shading.js';
import {standOut} from './standout.js';

export const title = 'Heatmap';
export const COLOURS = {
  absolute: 'value',
  relative: 'relative to its own median',
};
export const ROWS = {type: 'by module', depth: 'by depth'};
const side = () => em(268);

/** @param {import('./app.js').App} app */
export async function draw(app) {
  const {state, adapters} = app;
  const controls = toolbar(app);
  if (!adapters.length || !state.metric) return h('p', {class: 'empty-page'}, 'This run has no adapters.');
  const wide = app.width > 3 * side(), // else what stands out comes below
    width = app.width - (wide ? side() + 16 : 0) - 28,
    plot = width - gutterWidth(app) - 4;
  const max_cols = Math.max(50, Math.floor(plot / 50) * 50);
  const zoomed = state.from !== '' || state.to !== '';
  const whole = await app.metric(state.metric, {max_cols});
  const [matrix, loss] = await Promise.all([
    zoomed ? app.metric(state.metric, {max_cols, from: state.from, to: state.to}) : whole,
    app.series('loss', {max_cols: 2000}),
  ]);
  app.notes = [...new Set([...app.notes, ...matrix.notes])];
  if (!matrix.columns)
    return h('div', null, controls, h('p', {class: 'empty-page'}, 'No step of this metric lies in the chosen range.'));
  if (app.data.prefetched !== state.run) prefetch(app, max_cols);

  whole.until = app.lastStep; // a metric that is measured now and then is still what it was
  matrix.until = Math.min(app.lastStep, state.to === '' ? Infinity : Number(state.to));
  const middles = memo(whole, 'middles', () => medians(whole));
  const painted = memo(matrix, `${state.colour}`, () => shade(matrix, state.colour, middles));
  const heat = plotOf(app, matrix, loss, painted, middles, plot);
  return h(
    'div',
    {class: 'heat'},
    controls,
    h(
      'div',
      {class: 'columns', style: `grid-template-columns:minmax(0,1fr)${wide ? ` ${side()}px` : ''}`},
      h('section', {class: 'card'}, legendOf(app, matrix, painted), heat),
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
function toolbar(app) {
  const {state, run} = app;
  const segment = (key, options) =>
    h(
      'div',
      {class: 'segment', role: 'group', 'aria-label': key},
      Object.entries(options).map(([value, name]) =>
        h(
          'button',
          {id: `${key}-${value}`, 'aria-pressed': String(state[key] === value), onclick: () => app.set({[key]: value})},
          name,
        ),
      ),
    );
  return h(
    'div',
    {class: 'toolbar'},
    h(
      'span',
      {class: 'pick'},
      term('Metric', state.metric),
      h(
        'select',
        {id: 'metric', 'aria-label': 'metric', onchange: (event) => app.set({metric: event.target.value})},
        run.metrics.map((name) => h('option', {value: name, selected: name === state.metric}, name)),
      ),
    ),
    h('span', {class: 'pick'}, term('Colour'), segment('colour', COLOURS)),
    h('span', {class: 'pick'}, term('Rows'), segment('rows', ROWS)),
    h('span', {class: 'note'}, 'drag to zoom, click for the adapter'),
  );
}

/** @param {import('./app.js').App} app */
function legendOf(app, matrix, painted) {
  return h(
    'div',
    {class: 'scale'},
    h(
      'span',
      {class: 'bar'},
      h('i', {style: `background:${gradient(painted.scale, app.dark)}`}),
      h(
        'span',
        null,
        painted.ends.map((end) => h('span', null, end)),
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
 * Fetches the other metrics when the first has been drawn, one after the other, so that a switch need not wait.
 * @param {import('./app.js').App} app
 */
async function prefetch(app, max_cols) {
  const {run} = app.state;
  app.data.prefetched = run;
  for (const metric of app.run.metrics) {
    if (app.state.run !== run) return;
    await app.data.metric(run, metric, {max_cols}).catch(() => {});
  }
}

const memory = new WeakMap();
/** `make()`, made once for each matrix and key. */
function memo(matrix, key, make) {
  if (!memory.has(matrix)) memory.set(matrix, new Map());
  const kept = memory.get(matrix);
  if (!kept.has(key)) kept.set(key, make());
  return kept.get(key);
}
