// How is the run? One verdict, the numbers behind it, the picture, the loss.

import {legend, lineChart} from './chart.js';
import {card, em, h, num, percent, SEVERITIES, severityClass, severityIcon, words} from './dom.js';
import {limitsOf, pathOf, picture, zoneOf} from './picture.js';

export const title = 'Overview';

const SAYS = {
  healthy: ['Healthy', 'The adapters are heard, and the loss is coming down.'],
  loud: ['Healthy, but very loud', 'The loss is coming down; the adapters are louder than useful ones get.'],
  quiet: ['Quiet, yet learning', 'The loss is coming down while the adapters are still small.'],
  stuck: ['No gain yet', 'The adapters are heard, but the loss has not improved on its start by more than its noise.'],
  barely: [
    'Barely moves so far',
    'The adapters are hardly heard, and the loss has not improved on its start by more than its noise.',
  ],
  overcooked: ['Overcooked', 'The adapters drown the layers they adapt.'],
  unknown: ['Not known', 'Too little is known to say how the run does'],
};
const CALM = new Set(['healthy', 'quiet', 'loud']);

/** The worst alert speaks; without one, the place in the picture does; without a place, what is `missing` for it. */
export function verdict(alerts, zone, missing) {
  const worst = SEVERITIES.slice(0, 2)
    .map(
      (severity) =>
        alerts.findLast((alert) => alert.severity === severity && alert.step > 0) ??
        alerts.find((alert) => alert.severity === severity),
    )
    .find(Boolean);
  if (worst && (worst.severity === 'ERROR' || !CALM.has(zone))) {
    return {
      level: worst.severity,
      head: words(worst.name),
      text: worst.message,
      fix: worst.remedies?.[0],
      alert: worst,
    };
  }
  const [head, text] =
    zone === 'unknown' ? [SAYS.unknown[0], `${SAYS.unknown[1]}: ${missing ?? 'too few steps'}.`] : SAYS[zone];
  return {level: CALM.has(zone) ? 'OK' : zone === 'overcooked' ? 'ERROR' : 'INFO', head, text, warned: worst};
}

export async function draw(app) {
  const {schema, alerts} = app;
  const window = {max_cols: 600};
  const [path, ended, loss, expected, start, recent, effective, overhead, score] = await Promise.all([
    pathOf(app, app.state.run),
    app.data.verdict(app.state.run),
    ...['loss', 'loss_expected', 'loss_start', 'loss_recent', 'effective_lr', 'overhead', 'loss_spike_score'].map(
      (name) => app.series(name, window),
    ),
  ]);
  const loudness = await app.spread(path.metric, window);
  const measured = loudness && lastMeasured(loudness, app.step); // it need not be measured at every step
  const worstOf = measured == null ? null : await app.metric(path.metric, {from: measured, to: measured});
  const limits = limitsOf(schema, path.metric);
  const here = path.points.findLast((point) => point.step <= app.step);
  const says = verdict(
    alerts.filter((alert) => alert.step <= app.step),
    here ? zoneOf(here, limits) : 'unknown',
    path.missing,
  );

  const loud = path.metric === 'output_ratio' ? 'Loudness' : 'Size beside W₀';
  const width = app.width,
    left = Math.round(width * 0.43),
    right = width - left - 16;
  const shownAlerts = alerts.filter((alert) => alert.step > 0);
  const spikes = spikesOf(schema, loss, score);
  const go = {step: app.step, onStep: app.setStep, range: [0, Math.max(app.lastStep, 1)]};
  const lossLines = [
    {name: 'loss', matrix: loss, colour: 'var(--c1)'},
    {name: 'expected', matrix: expected, colour: 'var(--soft)', dash: '3 3', thin: true},
  ];
  const loudLines = loudness
    ? [
        {name: 'max', column: 0, colour: 'var(--c2)', thin: true},
        {name: 'p90', column: 1, colour: 'var(--c1)'},
        {name: 'median', column: 2, colour: 'var(--c3)', thin: true},
      ].map((line) => ({...line, matrix: loudness}))
    : [];

  return h(
    'div',
    {class: 'overview'},
    banner(app, says, endOf(ended, app.run)),
    h('div', {class: 'tiles'}, tiles(app, {loss, start, recent, effective, overhead, loudness, path, loud})),
    h(
      'div',
      {class: 'columns', style: `grid-template-columns:${left}px ${right}px`},
      card(
        'Where the run is',
        'its path, step by step',
        picture([{name: app.state.run, colour: 'var(--trace)', ...path}], {
          width: left - 26,
          height: em(470),
          limits,
          metric: path.metric,
          blocks: path.blocks,
          step: app.step,
          onStep: app.setStep,
        }),
      ),
      h(
        'div',
        {class: 'stack'},
        card(
          'Loss',
          legend(lossLines),
          lineChart(lossLines, {
            ...go,
            width: right - 26,
            height: em(212),
            alerts: shownAlerts,
            dots: spikes,
            onAlert: (alert) => app.openAlert(alert, 'alerts'),
            empty: 'the loss is unknown in this run',
          }),
        ),
        h(
          'div',
          {class: 'pair'},
          card(
            loud,
            legend(loudLines),
            lineChart(loudLines, {
              ...go,
              width: (right - 16) / 2 - 26,
              height: em(190),
              log: true,
              limits: [
                {value: limits.drowned / (path.blocks ?? 1), name: 'too loud'},
                {value: limits.quiet / (path.blocks ?? 1), name: 'too quiet'},
              ],
            }),
          ),
          card(
            's · lr',
            'scale × learning rate, per group',
            lineChart(groupLines(effective), {...go, width: (right - 16) / 2 - 26, height: em(190), zero: true}),
          ),
        ),
      ),
    ),
    h(
      'div',
      {class: 'columns', style: `grid-template-columns:${left}px ${right}px`},
      card('Alerts', alerts.length ? `${alerts.length} so far` : null, alertList(app)),
      card(
        path.metric === 'output_ratio' ? 'Loudest adapters' : 'Largest adapters',
        measured == null ? null : `${path.metric} at step ${measured}`,
        bars(app, worstOf),
      ),
    ),
  );
}

/** The last step up to `step` at which the metric was measured; null if there is none. */
function lastMeasured(matrix, step) {
  if (!matrix.columns || matrix.first[0] > step) return null;
  const column = matrix.columnOf(step);
  return matrix.last[column] <= step ? matrix.last[column] : matrix.first[column];
}

/** Where the loss lies farther above its own noise than the run's rule for spikes allows. */
function spikesOf(schema, loss, score) {
  const limit = schema.rules?.find?.((rule) => rule.id === 'LW203')?.limits?.score ?? 8,
    found = [];
  for (let c = 0; loss && score && c < score.columns; c++) {
    if (score.high[c] > limit)
      found.push({
        step: score.last[c],
        value: loss.high[loss.columnOf(score.last[c])],
        name: `${num(score.high[c])} standard deviations above what was expected`,
      });
  }
  return found;
}

export const groupLines = (effective) =>
  Array.from({length: effective?.n ?? 0}, (_, group) => group)
    .filter(
      (group) => !effective.columns || Number.isFinite(effective.high[(effective.columns - 1) * effective.n + group]),
    )
    .map((group, i) => ({name: `group ${group}`, matrix: effective, column: group, colour: `var(--c${1 + (i % 6)})`}));

/** What the run says of its own end: {word, text, kind}; null for a run that says nothing. */
export function endOf({verdict, message}, {wall_time}, now = Date.now() / 1000) {
  const text = (message ?? '').split('\n')[0];
  if (verdict === 'ok') return {word: 'finished', kind: 'ok', text: 'Training came to its end.'};
  if (verdict === 'unhealthy') return {word: 'finished, unhealthy', kind: 'error', text};
  if (verdict === 'failed') return {word: 'ended by fail_on', kind: 'error', text};
  if (verdict === 'interrupted') return {word: 'interrupted', kind: 'warning', text};
  if (verdict !== 'running') return null;
  const silent = now - wall_time;
  if (silent < 900) return {word: 'running', kind: 'info', text: 'Training goes on.'};
  const since =
    silent < 7200
      ? `${Math.round(silent / 60)} min`
      : silent < 172800
        ? `${Math.round(silent / 3600)} h`
        : `${Math.round(silent / 86400)} days`;
  return {
    word: `silent for ${since}`,
    kind: 'warning',
    text: 'Nothing was written since and no end: killed, or very slow.',
  };
}

function banner(app, says, end) {
  const counts = SEVERITIES.map((severity) => [
    severity,
    app.alerts.filter((alert) => alert.severity === severity).length,
  ]);
  return h(
    'section',
    {class: `banner ${says.level === 'OK' ? 'ok' : severityClass(says.level)}`, id: 'verdict'},
    h('div', {class: 'sign', 'aria-hidden': 'true'}, says.level === 'OK' ? '✓' : severityIcon(says.level, 30)),
    h(
      'div',
      {class: 'words'},
      h(
        'h1',
        null,
        says.head,
        end && h('span', {id: 'ended', class: `badge ${end.kind}`, title: end.text}, end.word),
        says.alert &&
          h(
            'small',
            null,
            says.alert.closed_step == null
              ? `since step ${says.alert.step}`
              : says.alert.last_step > says.alert.step
                ? `steps ${says.alert.step}–${says.alert.last_step}`
                : `at step ${says.alert.step}`,
          ),
      ),
      h(
        'p',
        null,
        says.text,
        says.warned &&
          h('small', null, `  Warned at step ${says.warned.step}: ${words(says.warned.name).toLowerCase()}.`),
      ),
      says.fix && h('p', {class: 'fix'}, h('b', null, 'Try'), says.fix),
    ),
    h(
      'div',
      {class: 'chips'},
      counts.map(([severity, count]) =>
        h(
          'button',
          {
            class: `chip ${severityClass(severity)}`,
            disabled: !count,
            title: `show alerts of this severity`,
            onclick: () => app.set({view: 'alerts', level: severity}),
          },
          severityIcon(severity, 11),
          h('b', null, count),
          severity.toLowerCase(),
        ),
      ),
    ),
  );
}

function tiles(app, {loss, start, recent, effective, overhead, loudness, path, loud}) {
  const {schema, adapters, step} = app;
  const most = (values) => {
    const counts = new Map();
    for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
    const sorted = [...counts].sort((a, b) => b[1] - a[1]).map(([value]) => value);
    return sorted.length > 1 ? `${num(sorted[0])}…` : num(sorted[0]);
  };
  const now = recent?.at(step),
    first = start?.at(step),
    gain = 1 - now / first;
  const size = loudness?.at(step, 1),
    spent = overhead?.at(step);
  const total = schema.max_steps,
    share = total ? Math.min(1, step / total) : null;
  const rates = effective
    ? Array.from({length: effective.n}, (_, i) => effective.at(step, i)).filter(Number.isFinite)
    : [];
  const formula = adapters[0]?.scale_formula;
  const tile = (name, value, note, extra) =>
    h(
      'div',
      {class: 'tile'},
      h('span', {class: 'name'}, name),
      h('span', {class: 'value'}, value),
      h('span', {class: 'note'}, note ?? ' '),
      extra,
    );
  return [
    tile(
      'Step',
      [String(step), total && h('small', null, ` / ${total}`)],
      share == null ? null : `${percent(share)} of the schedule`,
      share != null && h('i', {class: 'progress', style: `--share:${share}`}),
    ),
    tile(
      'Loss',
      num(loss?.at(step)),
      Number.isFinite(gain) && !Number.isNaN(loss?.at(step))
        ? `last five ${percent(Math.abs(gain))} ${gain >= 0 ? 'below' : 'above'} the start`
        : null,
    ),
    tile(
      loud,
      num(size == null ? null : path.blocks * size),
      size == null ? 'not measured' : `${num(size)} × ${path.blocks} blocks`,
    ),
    tile(
      's · lr',
      num(rates.length ? Math.max(...rates) : null),
      schema.peak_lr?.length ? `lr peaks at ${num(Math.max(...schema.peak_lr))}` : null,
    ),
    adapters.every((a) => !a.r)
      ? tile('Method', formula?.replace("'s own", '') ?? '–', 'has no A, B and scale')
      : tile(
          'r / α / s',
          ['r', 'alpha', 'scale'].map((key) => most(adapters.map((adapter) => adapter[key]))).join(' / '),
          formula ? `s = ${formula.replace('alpha', 'α').replace('sqrt(r)', '√r')}` : null,
        ),
    tile('Adapters', String(adapters.length), schema.config?.model_type ?? schema.optimizer),
    tile('Overhead', spent == null ? '–' : percent(spent, 1), 'of the wall time'),
  ];
}

export const noAlert = ({rules}) =>
  rules?.length ? `No alert: ${rules.length} rules watch this run.` : 'No alert in this run.';

function alertList(app) {
  if (!app.alerts.length) return h('p', {class: 'none'}, `✓ ${noAlert(app.schema)}`);
  const order = [...app.alerts].sort(
    (a, b) => SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity) || a.step - b.step,
  );
  return h(
    'ol',
    {class: 'alert-list'},
    order
      .slice(0, 6)
      .map((alert) =>
        h(
          'li',
          null,
          h(
            'button',
            {class: 'row', onclick: () => app.openAlert(alert, 'alerts')},
            severityIcon(alert.severity),
            h('b', null, words(alert.name)),
            h('span', {class: 'note'}, `step ${alert.step}`),
            h('span', {class: 'clip'}, alert.message),
          ),
        ),
      ),
  );
}

/** The adapters with the highest value at the step, as bars on a log scale. */
function bars(app, matrix) {
  if (!matrix?.columns) return h('p', {class: 'none'}, 'Not measured up to this step.');
  const found = app.adapters
    .map((adapter) => ({adapter, value: matrix.high[adapter.index]}))
    .filter(({value}) => value > 0)
    .sort((a, b) => b.value - a.value);
  if (!found.length) return h('p', {class: 'none'}, 'Nothing is above zero at this step.');
  const top = found.slice(0, 9),
    high = Math.log10(top[0].value),
    low = Math.min(high - 1, Math.log10(found.at(-1).value));
  return h(
    'ol',
    {class: 'bars'},
    top.map(({adapter, value}) =>
      h(
        'li',
        null,
        h(
          'button',
          {class: 'row', title: adapter.name, onclick: () => app.set({view: 'layer', adapter: adapter.name})},
          h('span', {class: 'clip'}, adapter.short),
          h('i', {style: `--share:${0.04 + (0.96 * (Math.log10(value) - low)) / (high - low || 1)}`}),
          h('b', null, num(value)),
        ),
      ),
    ),
  );
}
