// The adapters that stand out at a step.

import {em, h, num} from './dom.js';
import {flagWords, INF, NAN} from './matrix.js';

/** An adapter stands out that is this far from its own median, and from where most are from theirs, as a factor. */
const APART = 1.5;

/**
 * The adapters that have left the others: farther from their own median than most are at the step; broken ones first.
 * @param {import('./app.js').App} app
 */
export function standOut(app, matrix, middles) {
  if (app.step < matrix.first[0]) return h('p', {class: 'none'}, 'Nothing was measured up to this step.');
  const base = matrix.columnOf(app.step) * matrix.n;
  const found = app.adapters
    .map((adapter) => {
      const k = base + adapter.index,
        broken = matrix.flags[k] & (NAN | INF);
      return {
        adapter,
        value: matrix.high[k],
        broken,
        far: broken ? Infinity : matrix.high[k] === 0 ? -Infinity : Math.log2(matrix.high[k] / middles[adapter.index]),
      };
    })
    .filter(({far}) => !Number.isNaN(far))
    .sort((a, b) => a.far - b.far);
  if (!found.some(({value}) => value !== 0))
    return h('p', {class: 'none'}, found.length ? 'Nothing is above zero at this step.' : 'Not measured at this step.');
  const usual = found[found.length >> 1].far,
    away = ({far}) => Math.min(Math.abs(far), Number.isFinite(usual) ? Math.abs(far - usual) : Infinity);
  const apart = found
    .filter((one) => away(one) >= Math.log2(APART))
    .sort((a, b) => away(b) - away(a) || b.value - a.value);
  if (!apart.length) return h('p', {class: 'none'}, `None: most are at ${times(usual)} their own median.`);
  return h(
    'ol',
    {class: 'standout'},
    apart
      .slice(0, Math.max(6, Math.floor((innerHeight - em(200)) / em(27))))
      .map(({adapter, value, broken, far}) =>
        h(
          'li',
          null,
          h(
            'button',
            {class: 'row', title: adapter.name, onclick: () => app.set({view: 'layer', adapter: adapter.name})},
            h('span', {class: 'clip'}, adapter.short),
            h('b', null, broken ? flagWords(broken) : num(value)),
            h('small', {class: broken ? 'broken' : null}, broken ? '' : Number.isFinite(far) ? times(far) : '0'),
          ),
        ),
      ),
  );
}

const times = (octaves) => `${octaves < 0 ? '÷' : '×'} ${num(2 ** Math.abs(octaves))}`;
