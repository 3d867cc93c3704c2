// Everything about one adapter.

import {chartCard, discarded, gridLines, logTicks} from './chart.js';
import {card, drawing, em, h, nothing, num, percent, severityIcon, split, svg, term, tip, words} from './dom.js';
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
      ['drift_norm', 'drift_norm', '2 3'],
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
  ['Update in one step', '‖ΔW now − ΔW before‖', [['step_norm', 'step_norm']], true],
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
  const sigma = await app.data
    .spectrum(state.run, adapter.index, app.state.step === '' ? null : app.step)
    .catch(() => ({}));
  const own = app.alerts.filter((alert) => alert.adapters?.some(({name}) => name === adapter.name));
  const figures = figuresOf(sigma.sigma) ?? {effective: Number.NaN, stable: Number.NaN, share: Number.NaN};

  return h(
    'div',
    {class: 'layer'},
    head(app, own),
    h(
      'div',
      {class: 'columns', style: page.style},
      usage(app, figures, sigma, each),
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
          log: log || (metrics[0][0] === 'effective_lr' && discarded(app.alerts).length > 0),
          range: app.range(),
          step: app.step,
          onStep: app.setStep,
          onZoom: app.zoom,
          discarded: discarded(app.alerts),
          alerts: own.filter((alert) => metrics.some(([metric]) => metric === alert.metric)),
          onAlert: (alert) => app.openAlert(alert, 'alerts'),
        });
      }),
    ),
  );
}

/** @param {import('./app.js').App} app */
function head(app, own) {
  const {adapter: a, adapters, schema} = app;
  const peak = schema.peak_lr?.[a.group ?? -1];
  const move = (by) => app.set({adapter: adapters[(a.index + by + adapters.length) % adapters.length].name});
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
              `${words(alert.name)}, step ${alert.step}`,
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

/** {effective, stable, share} of singular values, largest first: the two ranks, and the share of σ₁ in ‖ΔW‖². */
export function figuresOf(sigma) {
  if (!sigma?.length) return null;
  const of = sigma.map((s) => s ?? Number.NaN), // one that is not finite
    sum = of.reduce((total, s) => total + s, 0),
    squares = of.reduce((total, s) => total + s * s, 0);
  if (sum === 0) return {effective: 0, stable: 0, share: Number.NaN};
  const entropy = of.reduce((total, s) => total - (s && (s / sum) * Math.log(s / sum)), 0);
  return {effective: Math.exp(entropy), stable: squares / of[0] ** 2, share: of[0] ** 2 / squares};
}

/** The spectrum at the step: every singular value where it was written, and how many of the r directions are in use. */
function usage({adapter, step}, {effective, stable, share}, spectrum, width) {
  const {step: at, sigma, first_step: firstStep, first_sigma: firstSigma} = spectrum,
    W = width - 26;
  const known = (x) => (Number.isNaN(x) ? '–' : num(x));
  return card(
    term(`Spectrum at step ${at ?? step}`, 'spectrum'),
    `σ of ΔW, r = ${adapter.r ?? '?'}`,
    h(
      'div',
      {class: 'figures'},
      h('div', null, h('b', null, known(effective)), term('effective rank', 'effective_rank')),
      h('div', null, h('b', null, known(stable)), term('stable rank', 'stable_rank')),
      h('div', null, h('b', null, Number.isFinite(share) ? percent(share) : '–'), 'of ‖ΔW‖² in σ₁'),
    ),
    points(sigma, firstStep === at ? null : firstSigma, firstStep, W),
  );
}

/** σ₁ to σ_r as points on a logarithmic scale, with a line where they were first. */
function points(sigma, before, firstStep, W) {
  const height = em(112);
  const root = drawing('spectrum', W, height, 'singular values of ΔW, largest first', {id: 'spectrum'});
  const known = [...(sigma ?? []), ...(before ?? [])].filter((s) => s > 0);
  if (!known.length) {
    root.append(nothing(W / 2, height / 2, sigma?.length ? 'ΔW is zero' : 'not written up to this step'));
    return root;
  }
  const plane = spectrumPlane(known, sigma.length, W, height);
  root.append(...gridLines(logTicks(plane.low, plane.high, (plane.foot - plane.top) / em(18)), plane, plane.Y));
  sigma.forEach((s, i) => {
    const then = before?.[i] != null && `${num(before[i])} at step ${firstStep}`;
    root.append(...sigmaPoint(s, i, sigma.length, then, plane));
  });
  root.append(...axisNames(plane));
  if (before?.some((s) => s > 0)) root.append(...sigmaThen(before, firstStep, plane));
  return root;
}

/** Where a singular value lies, Y(s), and how wide the slot of each is; four decades at most. */
function spectrumPlane(known, count, right, height) {
  const left = em(58),
    top = em(12),
    foot = height - em(22);
  const high = Math.log10(Math.max(...known)) + 0.1,
    low = Math.max(high - 4, Math.min(Math.log10(Math.min(...known)) - 0.2, high - 1));
  const Y = (s) => foot - ((Math.max(low, Math.min(high, Math.log10(s))) - low) / (high - low)) * (foot - top);
  return {left, right, top, foot, height, low, high, slot: (right - left) / count, Y};
}

const axisNames = ({left, top, foot, height}) => [
  svg(
    'text',
    {class: 'axis-name', 'text-anchor': 'middle', transform: `translate(${em(10)},${(top + foot) / 2})rotate(-90)`},
    'σ, log',
  ),
  svg('text', {class: 'axis-name', x: left - 8, y: height - 4, 'text-anchor': 'end'}, 'index'),
];

/** A singular value as a point, with the whole height of its slot to point at, and its number where there is room. */
function sigmaPoint(s, i, count, then, {left, right, top, foot, height, slot, Y}) {
  const middle = left + (i + 0.5) * slot;
  const every = Math.ceil(count / Math.max(1, Math.floor((right - left) / em(26))));
  return [
    svg('circle', {
      cx: middle,
      cy: s > 0 ? Y(s) : foot,
      r: Math.max(1, Math.min(4, slot / 3)),
      class: 'sigma',
    }),
    svg('rect', {
      x: left + i * slot,
      width: slot,
      y: top,
      height: foot - top,
      fill: 'transparent',
      onpointermove: (event) => tip.show(event, `σ${i + 1} = ${s == null ? 'not finite' : num(s)}`, then),
      onpointerleave: () => tip.hide(),
    }),
    ...(i % every === 0 ? [svg('text', {x: middle, y: height - 4, 'text-anchor': 'middle'}, i + 1)] : []),
  ];
}

/** Where the singular values were at the first step. */
const sigmaThen = (before, firstStep, {left, right, slot, Y}) => [
  svg('path', {
    class: 'then',
    d: before.map((s, i) => (s > 0 ? `M${left + i * slot} ${Y(s)}h${slot}` : '')).join(''),
  }),
  svg('text', {x: right, y: em(9), 'text-anchor': 'end'}, `– at step ${firstStep}`),
];
