// How is the run? What its rules say first, the numbers behind it, the picture, the loss.
import {at} from './alert_detail.js';
import {chartCard, discarded} from './chart.js';
import {
  card,
  countOf,
  em,
  explained,
  h,
  num,
  percent,
  RECOVERED,
  SEVERITIES,
  severityClass,
  severityIcon,
  split,
  term,
  words,
} from './dom.js';
import {foundCard} from './find_lr.js';
import {
  againstStart,
  damageFrom,
  gainAt,
  isWithoutStep,
  pathOf,
  picture,
  REWARDS,
  riseAt,
  sizeAt,
  zoneAt,
} from './picture.js';

export const title = 'Overview';
/** Steps that are all measured in full, and cost more: after them the overhead is counted anew. */
const FIRST_STEPS = 20;
const BROKE_OFF = 'broke off';

/**
 * What is said first of a run: the alert that the rules put first; else its `end`, if nobody can say that it is well;
 * else the zone, or that none was recorded.
 * @param {ReturnType<typeof endOf>} end
 */
export function verdict(first, zone, missing, recovered, alerts = [], end = null) {
  if (first)
    return {
      kind: severityClass(first.severity),
      head: `${first.severity}: ${first.message}`,
      text: first.details,
      alert: first,
    };
  if (recovered)
    return {
      kind: 'warning',
      head: `Recovered at step ${recovered.step}`,
      text: recovered.details || recovered.message,
      alert: recovered,
    };
  const calmly = !zone || ['ok', 'info'].includes(zone.kind);
  if (calmly && (end?.kind === 'warning' || end?.word === BROKE_OFF))
    return {kind: end.kind, head: words(end.word), text: end.text};
  if (!zone) return {kind: 'info', head: 'Not recorded', text: 'This run was written without its zones.'};
  const said = calmly ? {...zone, head: calm(alerts)} : zone;
  if (zone.name !== 'unknown' || !missing) return said;
  return isWithoutStep(missing) ? {...said, head: words(missing)} : {...said, text: `${words(missing)}.`};
}

/** What is said where none of the alerts so far is to be shown first. */
function calm(alerts) {
  const infos = alerts.filter(({severity}) => severity === 'INFO').length;
  if (infos < alerts.length) return 'No warning is open';
  return infos ? `No warnings, ${infos} info${infos > 1 ? 's' : ''}` : 'No alerts';
}

/** The last time up to a step that the run went back for an alert and on; none if it did not. */
export const recoveryIn = (alerts, step) =>
  alerts.filter((alert) => alert.name === 'recovered' && alert.step <= step).sort((a, b) => b.step - a.step)[0];

/** How bad a run's own verdict is: 2 and more for one that fails `check`, 1 where nobody can say that it is well. */
export const severityOf = (verdict) =>
  ({failed: 3, unhealthy: 3, interrupted: 2, unknown: 1})[/** @type {string} */ (verdict)] ?? 0;

/** @param {import('./app.js').App} app */
export async function draw(app) {
  const {alerts, step, state} = app;
  const now = {at: step},
    zoomed = app.window(600);
  const [path, ending, spread, size, known, rates, effective, charted] = await Promise.all([
    pathOf(app, state.run),
    app.data.verdict(state.run, step < app.lastStep ? step : undefined), // the end with all that is known then
    sizeOf(app, now),
    sizeOf(app, zoomed),
    app.seriesOf(['loss', 'loss_start', 'loss_recent', 'size', ...REWARDS, 'overhead', 'zone'], now),
    app.series('lr', {max_cols: 600, to: step}),
    app.series('effective_lr', {max_cols: 600, to: step}),
    app.seriesOf(['loss', 'loss_expected', 'eval_loss', 'probe_loss', 'reward', 'effective_lr'], zoomed),
  ]);
  const first = ending.first == null ? null : alerts[ending.first],
    end = endOf(ending, app.run);
  const says = verdict(
    first,
    zoneAt(app.schema, known.zone, step),
    path.missing,
    recoveryIn(alerts, step),
    alerts.filter((alert) => alert.step <= step),
    end,
  );
  const page = split(app.width, [43, 57], 16, 930), // narrower, the charts beside the picture are twice as high
    [left, right] = page.widths;
  return h(
    'div',
    {class: 'overview'},
    banner(app, says, end),
    h('div', {class: 'tiles'}, tiles(app, {...known, rates, effective}, spread, path)),
    h(
      'div',
      {class: 'columns', style: page.style},
      card(
        term('Where the run is', 'path'),
        zoneLegend(path.points),
        picture(path, {
          width: left - 26,
          height: em(470),
          damage: damageFrom(app.schema, path.metric),
          step,
          onStep: app.setStep,
        }),
      ),
      charts(app, {...charted, size}, path, right),
    ),
    card('Alerts', null, alertList(app)),
    foundCard(app, app.width),
  );
}

/**
 * The loss, the size of the adapters and s · lr, over the steps that are zoomed into.
 * @param {import('./app.js').App} app
 * @param {Record<string, any>} charted
 */
function charts(
  app,
  {loss, loss_expected: expected, eval_loss: evaluated, probe_loss: probe, reward, effective_lr: effective, size},
  path,
  width,
) {
  const begun = app.lastStep > 0,
    shared = app.charting,
    pair = split(width, [1, 1], 16, 520);
  const small = {
    ...shared,
    empty: begun ? 'not logged in this run' : path.missing,
    width: pair.widths[0] - 26,
    height: em(190),
  };
  const lossLines = reward
    ? [{name: rewardOf(app.schema).toLowerCase(), matrix: reward, colour: 'var(--c1)'}]
    : [
        {name: 'loss', matrix: loss, colour: 'var(--c1)'},
        {name: 'expected', matrix: expected, colour: 'var(--soft)', dash: '3 3', thin: true},
        ...(evaluated ? [{name: 'evaluation', matrix: evaluated, colour: 'var(--c3)'}] : []),
        ...(probe ? [{name: 'general texts', matrix: probe, colour: 'var(--c2)'}] : []),
      ];
  const name = path.metric === 'output_ratio' ? 'Output ratio' : 'σ₁(ΔW) relative to σ₁(W₀)';
  return h(
    'div',
    {class: 'stack'},
    chartCard(reward ? rewardOf(app.schema) : 'Loss', null, lossLines, {
      ...shared,
      term: lossLines[0].name,
      width: width - 26,
      height: em(212),
      alerts: app.alerts.filter((alert) => alert.step > 0),
      onAlert: (alert) => app.openAlert(alert, 'alerts'),
      empty: begun ? 'the loss is unknown in this run' : path.missing,
    }),
    h(
      'div',
      {class: 'columns', style: pair.style},
      chartCard(name, 'over adapters', size && begun ? sizeLines(size) : [], {...small, term: path.metric, log: true}),
      chartCard('s · lr', 'per group', begun ? groupLines(effective) : [], {
        ...small,
        term: 'effective_lr',
        zero: true,
        log: shared.discarded.length > 0, // what was thrown away has often ten times the rate
      }),
    ),
  );
}

const sizeLines = (matrix) =>
  ['max', '9 in 10 below', 'median'].map((name, column) => ({
    name,
    column,
    matrix,
    colour: `var(--c${[2, 1, 3][column]})`,
    thin: column !== 1,
  }));

/** What the colours of the path mean: the zones that it passes, in their order. */
function zoneLegend(points) {
  const passed = new Map(points.map(({zone}) => [zone?.head ?? 'zone not recorded', zone]));
  const entry = ([head, zone]) =>
    h('span', {title: zone?.text}, h('i', {style: `--swatch:var(--${zone?.colour ?? 'trace'})`}), head.toLowerCase());
  return h('span', {class: 'legend'}, [...passed].map(entry));
}

/** The spread over adapters of the metric by which their size is shown; null if there is none. */
const sizeOf = async (app, window) =>
  (await app.spread('output_ratio', window)) ?? (await app.spread('relative_spectral_norm', window));

const groupLines = (effective) =>
  Array.from({length: effective?.n ?? 0}, (_, group) => group)
    .filter(
      (group) => effective.columns && Number.isFinite(effective.high[(effective.columns - 1) * effective.n + group]),
    )
    .map((group, i) => ({name: `group ${group}`, matrix: effective, column: group, colour: `var(--c${1 + (i % 6)})`}));

/** What the run says of its own end: {word, text, kind}; null for a run that says nothing. */
export function endOf(/** @type {Record<string, any>} */ ending, {wall_time}, now = Date.now() / 1000) {
  const {verdict, message, first} = ending,
    text = (message ?? '').split('\n')[0];
  if (verdict === 'ok')
    return {word: 'finished', kind: first == null ? 'ok' : 'warning', text: text || 'Training came to its end.'};
  if (verdict === 'unhealthy') return {word: 'ended with an ERROR', kind: 'error', text};
  if (verdict === 'unknown') return {word: 'finished, not judged', kind: 'warning', text};
  if (verdict === 'failed') return {word: 'failed by fail_on', kind: 'error', text};
  if (verdict === 'interrupted')
    return {
      word: BROKE_OFF,
      kind: 'error',
      text: text || 'It was killed, or its script ended early.',
    };
  if (verdict !== 'running') return null;
  const minutes = (now - wall_time) / 60;
  if (minutes < 15) return {word: 'running', kind: 'info', text: 'Training goes on.'};
  const [since, unit] =
    minutes < 120 ? [minutes, 'min'] : minutes < 2880 ? [minutes / 60, 'h'] : [minutes / 1440, 'days'];
  return {
    word: `silent for ${Math.round(since)} ${unit}`,
    kind: 'warning',
    text: 'The run wrote nothing since, not even its end: killed, or very slow.',
  };
}

/** When an alert held, in words. */
const when = ({step, last_step, closed_step}) =>
  closed_step == null
    ? step
      ? `since step ${step}`
      : 'from the start'
    : last_step > step
      ? `steps ${step}–${last_step}`
      : `at step ${step}`;

/** @param {import('./app.js').App} app */
function banner(app, {kind, head, text, alert}, end) {
  const told = app.ending.next_run?.text,
    cause = alert?.causes?.join('; '),
    fix = !told && alert?.remedies?.join('; ');
  const chips = SEVERITIES.map((severity) => {
    const count = countOf(app.counts, severity);
    return h(
      'button',
      {
        class: `chip ${severityClass(severity)}`,
        disabled: !count,
        title: 'show the alerts',
        onclick: () => app.set({view: 'alerts'}),
      },
      severityIcon(severity, 11),
      h('b', null, count),
      severity.toLowerCase() + (count === 1 ? '' : 's'),
    );
  });
  return h(
    'section',
    {class: `banner ${kind}`, id: 'verdict'},
    h('div', {class: 'sign', 'aria-hidden': 'true'}, kind === 'ok' ? '✓' : severityIcon(kind.toUpperCase(), 30)),
    h(
      'div',
      {class: 'words'},
      h(
        'h1',
        null,
        head,
        end && head !== words(end.word) && explained(end.word, end.text, {id: 'ended', class: `badge ${end.kind}`}),
        alert && alert.name !== 'recovered' && h('small', null, when(alert)),
      ),
      text && h('p', null, text),
      alert && alert.name !== 'broke-off' && end?.word === BROKE_OFF && h('p', null, `Broke off: ${end.text}`),
      cause && h('p', {id: 'cause'}, h('b', null, 'Cause '), cause),
      fix && h('p', {class: 'fix', id: 'fix'}, h('b', null, 'Fix'), fix),
      told && h('p', {class: 'fix', id: 'next-run'}, h('b', null, 'Next run'), told),
      app.ending.besides && h('p', {id: 'besides'}, app.ending.besides),
    ),
    h('div', {class: 'chips'}, chips),
  );
}

/**
 * As the console calls it.
 * @param {import('./data.js').Schema} schema
 */
const rewardOf = ({config}) => (config?.preference ? 'Margin' : 'Reward');

export const formulaOf = (text) => text?.replace('alpha', 'α').replace('sqrt(r)', '√r');

/** The value that most have, with dots where others differ. */
function most(values) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const sorted = [...counts].sort((a, b) => b[1] - a[1]).map(([value]) => value);
  return sorted.length > 1 ? `${num(sorted[0])}…` : num(sorted[0]);
}

/** Adapters are in a parameter group, not a new head alone; true of each where nobody knows. */
const isOfAdapters = ({adapters}, group) =>
  adapters.some((adapter) => adapter.group === group) || adapters.every((adapter) => adapter.group == null);

/**
 * The largest number of a matrix up to a step, without columns that touch stretches that are `gone` and items that do
 * not `count`; null for none.
 */
export function peakOf(matrix, step, gone = [], counts = (/** @type {number} */ _) => true) {
  let peak = null;
  const isGone = (c) => gone.some(([first, last]) => first <= matrix.last[c] && matrix.first[c] <= last);
  for (let c = 0; c < (matrix?.columns ?? 0) && matrix.first[c] <= step; c++)
    for (let i = 0; i < matrix.n && !isGone(c); i++) {
      const value = matrix.high[c * matrix.n + i];
      if (Number.isFinite(value) && counts(i) && (peak == null || value > peak)) peak = value;
    }
  return peak;
}

const tile = (name, key, value, note, extra) =>
  h(
    'div',
    {class: 'tile'},
    h('span', {class: 'name'}, term(name, key)),
    h('span', {class: 'value'}, value),
    h('span', {class: 'note'}, note ?? ' '),
    extra,
  );

/** @param {Record<string, any>} known */
function tiles(app, known, spread, path) {
  const {loss, reward, rates, effective, overhead} = known;
  const {schema, adapters, step} = app;
  const gone = discarded(app.alerts),
    highest = peakOf(rates, step, gone, (group) => isOfAdapters(schema, group)),
    fall = gainAt(known, step, gone), // of the mean, as in the picture
    size = sizeAt(path, known, spread, step),
    spent = overhead?.at(step),
    total = schema.max_steps,
    share = total ? Math.min(1, step / total) : null,
    formula = adapters[0]?.scale_formula,
    depth =
      path.metric === 'output_ratio'
        ? ['Size of the adapters', 'size of the adapters']
        : ['σ₁ relative to W₀ × depth', path.metric];
  const settings = ['r', 'alpha', 'scale'].map((key) => most(adapters.map((adapter) => adapter[key]))).join(' / ');
  return [
    tile(
      'Step',
      'step',
      [String(step), total && h('small', null, ` / ${total}`)],
      share == null ? null : `${percent(share)} of the steps`,
      share != null && h('i', {class: 'progress', style: `--share:${share}`}),
    ),
    reward
      ? tile(rewardOf(schema), rewardOf(schema).toLowerCase(), num(reward.at(step)), riseAt(known, step))
      : tile(
          'Loss',
          'loss',
          num(loss?.at(step)),
          Number.isFinite(fall) ? `mean${step < 5 ? '' : ' of five'} ${againstStart(fall)}` : null,
        ),
    tile(...depth, num(size), size == null ? 'not measured' : `${num(size / path.depth)} × depth ${num(path.depth)}`),
    tile('s · lr, peak', 'effective_lr', num(peakOf(effective, step, gone)), rateOf(schema, highest)),
    tile('r / α / s', 'scale', adapters.length ? settings : '–', formula ? `s = ${formulaOf(formula)}` : 'no adapters'),
    tile('Adapters', 'adapters', String(adapters.length), schema.config?.model_type ?? schema.optimizer),
    tile(
      'Overhead',
      'overhead',
      spent == null || !app.lastStep ? '–' : percent(spent, 1),
      app.lastStep ? `of the wall time ${step > FIRST_STEPS ? `since step ${FIRST_STEPS}` : 'so far'}` : path.missing,
    ),
  ];
}

/**
 * The highest learning rate of the adapters so far, and where it comes from.
 * @param {Record<string, any>} schema
 */
export function rateOf({config}, peak) {
  const {rate, low, high} = config?.find_lr ?? {},
    spread = low != null && high != null ? ` (${num(low)} to ${num(high)})` : '';
  if (peak == null) return null;
  if (rate == null || rate !== config?.learning_rate) return `lr up to ${num(peak)}`;
  return `lr up to ${num(peak)},${num(rate) === num(peak) ? '' : ` ${num(rate)}`} found by a sweep${spread}`;
}

/** @param {import('./app.js').App} app */
function alertList(app) {
  if (!app.alerts.length) return h('p', {class: 'none'}, '✓ No alert in this run.');
  const row = (alert) =>
    h(
      'button',
      {class: 'row', onclick: () => app.openAlert(alert, 'alerts')},
      severityIcon(alert.severity),
      h('b', null, alert.rule),
      h('span', {class: 'note'}, at(alert), alert.severity === RECOVERED && ', recovered from'),
      h('span', null, alert.message),
    );
  return h(
    'ol',
    {class: 'alert-list'},
    app.alerts.slice(0, 6).map((alert) => h('li', null, row(alert))),
  );
}
