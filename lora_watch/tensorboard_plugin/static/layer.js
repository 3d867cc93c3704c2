// Everything about one adapter.
import {card, h, num, percent, severityIcon, svg, words} from './dom.js';
import {legend, lineChart} from './chart.js';

export const title = 'Layer';

/** Charts of the page: which metrics share one, and on which scale. What a run lacks is left out. */
const CHARTS = [
  ['‖ΔW‖ and what Adam can reach', 'Frobenius norm', [['delta_norm', 'delta_norm'], ['predicted_norm', 'predicted_norm', '5 4'], ['drift_norm', 'drift_norm', '2 3']], true],
  ['Loudness', '‖s·B·A·x‖ / ‖W₀·x‖ on the step’s tokens', [['output_ratio', 'output_ratio']], true],
  ['Beside the frozen weight', 'ΔW against W₀', [['relative_norm', 'Frobenius'], ['relative_spectral_norm', 'spectral']], true],
  ['Largest singular value', 'σ₁(ΔW)', [['spectral_norm', 'spectral_norm']], true],
  ['Ranks in use', 'of r', [['effective_rank', 'effective_rank'], ['stable_rank', 'stable_rank']], false],
  ['Factors', 'Frobenius norms', [['a_norm', 'A'], ['b_norm', 'B']], true],
  ['Gradients', 'as they reach the optimizer', [['a_grad_norm', 'A'], ['b_grad_norm', 'B']], true],
  ['Product and step', 'without the scale; change in one step', [['product_norm', 'product_norm'], ['step_norm', 'step_norm']], true],
  ['s · lr', 'scale × learning rate', [['effective_lr', 'effective_lr']], false],
  ['Scale s', 'the live factor', [['scale', 'scale']], false],
];

export async function draw(app) {
  const {adapter, run, state} = app;
  if (!adapter) return h('p', {class: 'empty-page'}, 'This run watches no adapter.');
  const width = app.width, across = width > 1500 ? 4 : 3, each = Math.floor((width - 16 * (across - 1)) / across);
  const charted = new Set(CHARTS.flatMap(([, , metrics]) => metrics.map(([name]) => name)));
  const charts = [...CHARTS, ...run.metrics.filter((name) => !charted.has(name)).map((name) => [words(name), null, [[name, name]], true])]
    .map(([name, note, metrics, log]) => ({name, note, log, metrics: metrics.filter(([metric]) => run.metrics.includes(metric))}))
    .filter(({metrics}) => metrics.length);
  const wanted = charts.flatMap(({metrics}) => metrics.map(([metric]) => metric));
  const window = {max_cols: 400, adapter: adapter.index, from: state.from, to: state.to};
  const matrices = Object.fromEntries(await Promise.all(wanted.map(async (name) => [name, await app.metric(name, window)])));
  const own = app.alerts.filter((alert) => alert.adapters?.some(({name}) => name === adapter.name));
  const range = state.from !== '' || state.to !== '' ? null : [0, Math.max(1, app.lastStep)];

  return h('div', {class: 'layer'}, head(app, own),
    h('div', {class: 'columns', style: `grid-template-columns:repeat(${across}, ${each}px)`},
      usage(app, matrices, each),
      charts.map(({name, note, metrics, log}) => {
        const lines = metrics.map(([metric, label, dash], i) => ({name: label, matrix: matrices[metric], colour: dash ? 'var(--soft)' : `var(--c${i + 1})`, dash}));
        return card(name, note, lines.length > 1 && legend(lines), lineChart(lines, {width: each - 26, height: 150 + (lines.length > 1 ? 0 : 20), log, range, step: app.step, onStep: app.setStep,
          alerts: own.filter((alert) => metrics.some(([metric]) => metric === alert.metric)), onAlert: (alert) => app.openAlert(alert, 'alerts')}));
      })));
}

function head(app, own) {
  const {adapter: a, adapters, schema, step} = app;
  const beside = (by) => app.set({adapter: adapters[(a.index + by + adapters.length) % adapters.length].name});
  const fact = (name, value, note) => value != null && h('div', null, h('dt', null, name), h('dd', null, value, note && h('small', null, ` ${note}`)));
  return h('section', {class: 'card layer-head'},
    h('div', {class: 'title'},
      h('button', {id: 'before', class: 'quiet', title: 'adapter before (↑)', onclick: () => beside(-1)}, '‹'),
      h('select', {id: 'adapter', 'aria-label': 'adapter', onchange: (event) => app.set({adapter: event.target.value})},
        adapters.map((found) => h('option', {value: found.name, selected: found === a}, found.name))),
      h('button', {id: 'after', class: 'quiet', title: 'adapter after (↓)', onclick: () => beside(1)}, '›'),
      h('span', {class: 'note'}, `${a.index + 1} of ${adapters.length}`),
      h('span', {class: 'grow'}),
      own.length ? own.map((alert) => h('button', {class: 'chip', onclick: () => app.openAlert(alert, 'alerts'), title: alert.message}, severityIcon(alert.severity, 11), `${words(alert.name)}, step ${alert.step}`))
        : h('span', {class: 'note'}, '✓ no alert names this adapter')),
    h('dl', {class: 'facts'},
      fact('Kind', a.kind), a.d_out != null && fact('W₀', `${a.d_out} × ${a.d_in}`), a.r != null && fact('B · A', `${a.d_out} × ${a.r} · ${a.r} × ${a.d_in}`),
      fact('r', a.r), fact('α', a.alpha == null ? null : num(a.alpha)), fact('s', a.scale == null ? null : num(a.scale), a.scale_formula?.replace('alpha', 'α').replace('sqrt(r)', '√r')),
      fact('Group', a.group == null ? 'in no optimizer group' : String(a.group), schema.peak_lr?.[a.group] != null ? `lr ≤ ${num(schema.peak_lr[a.group])}` : null),
      fact('Trainable', a.trainable?.toLocaleString('en')), fact('‖W₀‖', a.base_norm == null ? 'unknown' : num(Number(a.base_norm))),
      fact('σ₁(W₀)', a.base_spectral_norm == null ? 'unknown' : num(Number(a.base_spectral_norm))), fact('Step', String(step))));
}

/** What is known of the spectrum at the step: how many of the r directions are in use, and how uneven they are. */
function usage({adapter, step}, matrices, width) {
  const at = (name) => matrices[name]?.at(step) ?? NaN;
  const [norm, top, stable, effective] = ['delta_norm', 'spectral_norm', 'stable_rank', 'effective_rank'].map(at), r = adapter.r ?? 1;
  const share = (top / norm) ** 2, W = width - 26, slot = W / r;
  const row = (y, count, colour, name, note) => [
    svg('rect', {x: 0, y, width: W, height: 12, rx: 2, class: 'slot'}),
    svg('rect', {x: 0, y, width: Math.max(0, Math.min(r, count || 0)) * slot, height: 12, rx: 2, style: `fill:${colour}`}),
    r <= 64 && Array.from({length: r - 1}, (_, i) => svg('line', {x1: (i + 1) * slot, x2: (i + 1) * slot, y1: y, y2: y + 12, class: 'slit'})),
    svg('text', {x: 0, y: y - 5}, name), svg('text', {x: W, y: y - 5, 'text-anchor': 'end', class: 'strong'}, note)].flat().filter(Boolean);
  return card(`Spectrum at step ${step}`, `of ΔW, r = ${r}`, h('div', {class: 'figures'},
    h('div', null, h('b', null, num(top)), 'σ₁'), h('div', null, h('b', null, num(norm)), '‖ΔW‖'),
    h('div', null, h('b', null, Number.isFinite(share) ? percent(share) : '–'), 'of ‖ΔW‖² in σ₁')),
  svg('svg', {class: 'usage', width: W, height: 96}, row(24, effective, 'var(--c6)', 'effective rank', `${num(effective)} of ${r}`), row(68, stable, 'var(--c1)', 'stable rank', `${num(stable)} of ${r}`)));
}
