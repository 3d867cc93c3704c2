// The adapters that stand out at a step.

import {h, num} from './dom.js';
import {flagWords, INF, NAN, UNKNOWN} from './matrix.js';

const MOST = 12;

/**
 * The adapters that are farthest from what most have at the step, up or down; broken ones first.
 * @param {import('./app.js').App} app
 */
export function standOut(app, matrix) {
  if (app.step < matrix.first[0]) return h('p', {class: 'none'}, 'Nothing was measured up to this step.');
  const base = matrix.columnOf(app.step) * matrix.n;
  const found = app.adapters
    .map((adapter) => ({adapter, value: matrix.high[base + adapter.index], flags: matrix.flags[base + adapter.index]}))
    .filter(({flags}) => !(flags & UNKNOWN))
    .map((one) => ({...one, broken: one.flags & (NAN | INF)}));
  const sound = found.filter(({broken}) => !broken).sort((a, b) => a.value - b.value);
  if (!found.some(({broken, value}) => broken || value !== 0))
    return h('p', {class: 'none'}, found.length ? 'Nothing is above zero at this step.' : 'Not measured at this step.');
  const usual = sound[sound.length >> 1]?.value,
    away = ({broken, value}) => (broken ? Infinity : Math.abs(Math.log2(value / usual)));
  return h(
    'ol',
    {class: 'standout'},
    found
      .sort((a, b) => away(b) - away(a) || b.value - a.value)
      .slice(0, MOST)
      .map(({adapter, value, broken}) =>
        h(
          'li',
          null,
          h(
            'button',
            {class: 'row', title: adapter.name, onclick: () => app.set({view: 'layer', adapter: adapter.name})},
            h('span', {class: 'clip'}, adapter.short),
            h('b', null, broken ? flagWords(broken) : num(value)),
            h('small', {class: broken ? 'broken' : null}, broken ? '' : times(value / usual)),
          ),
        ),
      ),
  );
}

const times = (factor) => (factor < 1 ? `÷ ${num(1 / factor)}` : `× ${num(factor)}`);
