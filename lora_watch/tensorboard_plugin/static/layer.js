// Everything about one adapter.

import {at} from './alert_detail.js';
import {chartCard} from './chart.js';
import {em, h, num, severityIcon, split, term, words} from './dom.js';
import {formulaOf} from './overview.js';

export const title = 'Layer';

/**
 * Charts of the page: which metrics share one, and on which scale. What a run lacks is left out.
 * @type {[string, string | null, string[][], boolean][]}
 */
const CHARTS = [
  [
    '‖ΔW‖ and what Adam can reach',
    'Frobenius norm',
    [
      ['delta_norm', 'delta_norm'],
      ['predicted_norm', 'predicted_norm', '5 4'],
    ],
    true,
  ],
  ['Output ratio', '‖ΔW·x‖ / ‖W₀·x‖ on the step’s tokens', [['output_ratio', 'output_ratio']], true],
  [
    'Relative to the base weight',
    'ΔW against W₀',
    [
      ['relative_norm', 'Frobenius'],
      ['relative_spectral_norm', 'spectral'],
    ],
    true,
  ],
  ['Largest singular value', 'σ₁(ΔW)', [['spectral_norm', 'spectral_norm']], true],
  [
    'Ranks in use',
    'of r',
    [
      ['effective_rank', 'effective_rank'],
      ['stable_rank', 'stable_rank'],
    ],
    false,
  ],
  [
    'Factors',
    'Frobenius norms',
    [
      ['a_norm', 'A'],
      ['b_norm', 'B'],
    ],
    true,
  ],
  [
    'Gradients',
    'as they reach the optimizer',
    [
      ['a_grad_norm', 'A'],
      ['b_grad_norm', 'B'],
    ],
    true,
  ],
  ['Product', '‖B·A‖, without the scale', [['product_norm', 'product_norm']], true],
  [
    'Updates that arrived',
    'share of 64 numbers that changed',
    [
      ['a_changed', 'A'],
      ['b_changed', 'B'],
    ],
    false,
  ],
  ['Base weight', '‖W − W₀‖ / ‖W₀‖, 0 where it rests', [['base_drift', 'base_drift']], true],
  ['s · lr', 'scale × learning rate', [['effective_lr', 'effective_lr']], false],
  ['Scale s', 'the live factor', [['scale', 'scale']], false],
];

/** @param {import('./app.js').App} app */
export async function draw(app) {
  const {adapter, run, state} = app;
  if (!adapter) return h('p', {class: 'empty-page'}, 'This run has no adapters.');
  const across = app.width > em(1260) ? 4 : 3,
    page = split(app.width, Array(across).fill(1)),
    each = page.widths[0];
  const charted = new Set(CHARTS.flatMap(([, , metrics]) => metrics.map(([name]) => name)));
  const charts = [
    ...CHARTS,
    ...run.metrics.filter((name) => !charted.has(name)).map((name) => [words(name), null, [[name, name]], true]),
  ]
    .map(([name, note, metrics, log]) => ({
      name,
      note,
      log,
      several: metrics.length > 1,
      metrics: metrics.filter(([metric]) => run.metrics.includes(metric)),
    }))
    .filter(({metrics}) => metrics.length);
  const wanted = charts.flatMap(({metrics}) => metrics.map(([metric]) => metric));
  const window = {max_cols: 400, adapter: adapter.index, from: state.from, to: state.to};
  const used = {...window, from: state.from || 1}; // no step was made with the rate that stands there before the first
  const matrices = Object.fromEntries(
    await Promise.all(
      wanted.map(async (name) => [name, await app.metric(name, name === 'effective_lr' ? used : window)]),
    ),
  );
  const own = app.alerts.filter((alert) => alert.adapters?.some(({name}) => name === adapter.name));

  return h(
    'div',
    {class: 'layer'},
    head(app, own),
    h(
      'div',
      {class: 'columns', style: page.style},
      charts.map(({name, note, metrics, log, several}) => {
        const lines = metrics.map(([metric, label, dash], i) => ({
          name: label,
          matrix: matrices[metric],
          colour: dash ? 'var(--soft)' : `var(--c${i + 1})`,
          dash,
        }));
        const named = lines.length > 1 || several; // a legend, even where the run has but one of them
        return chartCard(name, note, lines, {
          legend: named,
          term: metrics[0][0],
          width: each - 26,
          height: em(150) + (named ? 0 : em(21)),
          ...app.charting,
          log: log || (metrics[0][0] === 'effective_lr' && app.charting.discarded.length > 0),
          alerts: own.filter((alert) => metrics.some(([metric]) => metric === alert.metric)),
          onAlert: (alert) => app.openAlert(alert, 'alerts'),
        });
      }),
    ),
  );
}

/** @param {import('./app.js').App} app */
function head(app, own) {
  const {adapter: a, adapters, schema, moveAdapter: move} = app;
  const peak = schema.peak_lr?.[a.group ?? -1];
  const fact = (name, value, note) =>
    value != null && h('div', null, h('dt', null, name), h('dd', null, value, note && h('small', null, ` ${note}`)));
  return h(
    'section',
    {class: 'card layer-head'},
    h(
      'div',
      {class: 'title'},
      h('button', {id: 'before', class: 'quiet', title: 'adapter before (↑)', onclick: () => move(-1)}, '‹'),
      h(
        'select',
        {
          id: 'adapter',
          'aria-label': 'adapter',
          title: a.name,
          onchange: (event) => app.set({adapter: event.target.value}),
        },
        adapters.map((found) => h('option', {value: found.name, selected: found === a}, found.name)),
      ),
      h('button', {id: 'after', class: 'quiet', title: 'adapter after (↓)', onclick: () => move(1)}, '›'),
      h('span', {class: 'note'}, `${a.index + 1} of ${adapters.length}`),
      h('span', {class: 'grow'}),
      own.length
        ? own.map((alert) =>
            h(
              'button',
              {class: 'chip', onclick: () => app.openAlert(alert, 'alerts'), title: alert.message},
              severityIcon(alert.severity, 11),
              `${alert.rule}, ${at(alert)}`,
            ),
          )
        : h('span', {class: 'note'}, '✓ no alert names this adapter'),
    ),
    h(
      'dl',
      {class: 'facts'},
      fact(term('Kind'), a.kind),
      a.d_out != null && fact(term('W₀'), `${a.d_out} × ${a.d_in}`),
      (a.r ?? 0) > 0 && fact(term('B · A'), `${a.d_out} × ${a.r} · ${a.r} × ${a.d_in}`),
      fact(term('r', 'r'), a.r || null),
      fact(term('α', 'alpha'), a.alpha == null ? null : num(a.alpha)),
      fact(term('s', 'scale'), a.scale == null ? null : num(a.scale), formulaOf(a.scale_formula)),
      fact(
        term('Group', 'group'),
        a.group == null ? 'in no optimizer group' : String(a.group),
        peak != null ? `lr ≤ ${num(peak)}` : null,
      ),
      fact(term('Trainable'), a.trainable?.toLocaleString('en')),
      fact(term('‖W₀‖', 'base_norm'), a.base_norm == null ? 'unknown' : num(Number(a.base_norm))),
      fact(
        term('σ₁(W₀)', 'base_spectral_norm'),
        a.base_spectral_norm == null ? 'unknown' : num(Number(a.base_spectral_norm)),
      ),
    ),
  );
}
