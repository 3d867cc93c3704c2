// Two or more runs side by side: what was set differently, and what came of it.

import {lineChart} from './chart.js';
import {INF, NAN} from './data.js';
import {card, em, h, num, percent, SEVERITIES, severityIcon} from './dom.js';
import {endOf, verdict} from './overview.js';
import {limitsOf, pathOf, picture, zoneOf} from './picture.js';
import {sweepCard} from './sweep.js';

export const title = 'Compare';
const LETTERS = 'ABCDEF',
  MOST = LETTERS.length; // a colour and a letter a run
/** Said in other rows, or nothing the user set. */
const ELSEWHERE = /^(learning_rate|parameters|lora\..*\.(r|lora_alpha|use_rslora|peft_version|inference_mode))$/;

/** Names without the folder that the Trainer adds below its output_dir, where they stay different without it. */
export function shortNames(names) {
  const short = names.map((name) => name.replace(/\/(runs\/)?[A-Z][a-z]{2}\d\d_\d\d-\d\d-\d\d_[^/]*$/, ''));
  return new Map(
    names.map((name, i) => [name, short.indexOf(short[i]) === short.lastIndexOf(short[i]) ? short[i] : name]),
  );
}

/** Nested settings as {'a.b': text}. */
export function flatten(value, prefix = '', out = {}) {
  if (value && typeof value === 'object' && !Array.isArray(value)) {
    for (const [key, inner] of Object.entries(value)) flatten(inner, prefix ? `${prefix}.${key}` : key, out);
  } else {
    out[prefix] = Array.isArray(value)
      ? value.map(String).join(', ')
      : value == null
        ? '–'
        : Number.isInteger(value)
          ? value.toLocaleString('en')
          : typeof value === 'number'
            ? num(value)
            : String(value);
  }
  return out;
}

/** The settings of a run, the sizes of its adapters first: r, α, s, the formula, the learning rate. */
export function settings(schema) {
  const set = (key) =>
    [...new Set(schema.adapters.map((adapter) => adapter[key]))]
      .map((value) => (typeof value === 'number' ? num(value) : String(value ?? '–')))
      .join(', ') || '–';
  return {
    r: set('r'),
    α: set('alpha'),
    s: set('scale'),
    'formula of s': set('scale_formula'),
    'peak lr': [...new Set(schema.peak_lr ?? [])].map(num).join(', ') || '–',
    adapters: String(schema.adapters.length),
    optimizer: schema.optimizer ?? '–',
    ...flatten(schema.config ?? {}),
    ...flatten({versions: schema.versions ?? {}}),
  };
}

export async function draw(app) {
  const names = Object.keys(app.runs).sort((a, b) => a.localeCompare(b, undefined, {numeric: true}));
  let chosen = [];
  try {
    chosen = JSON.parse(app.state.runs || '[]').filter((name) => name in app.runs);
  } catch {
    /* a mistyped address */
  }
  const sweep = await app.data.sweep(),
    short = shortNames(names);
  if (!chosen.length) chosen = suggested(sweep, app.state.run, names);
  const toggle = (name) =>
    app.set({
      runs: JSON.stringify(
        chosen.includes(name) ? chosen.filter((other) => other !== name) : [...chosen, name].slice(-MOST),
      ),
    });
  const colour = (name) => `var(--c${1 + (chosen.indexOf(name) % 6)})`,
    letter = (name) => LETTERS[chosen.indexOf(name)];
  const bar = h(
    'div',
    {class: 'toolbar wrap', id: 'chosen'},
    names.map((name, i) =>
      h(
        'button',
        {
          id: `pick-${i}`,
          class: 'chip run',
          'aria-pressed': String(chosen.includes(name)),
          style: chosen.includes(name) ? `--c:${colour(name)}` : null,
          title: name,
          onclick: () => toggle(name),
        },
        h('i', {class: 'letter'}, letter(name)),
        short.get(name),
      ),
    ),
    h('span', {class: 'note'}, `up to ${MOST} runs`),
  );

  const window = {max_cols: 400};
  const found = await Promise.all(
    chosen.map(async (name) => {
      const [schema, {alerts}, ended, path, loss, recent, start, effective, lr, ...spreads] = await Promise.all([
        app.data.schema(name),
        app.data.alerts(name),
        app.data.verdict(name),
        pathOf(app, name),
        ...['loss', 'loss_recent', 'loss_start', 'effective_lr', 'lr'].map((series) =>
          app.series(series, window, name),
        ),
        ...['output_ratio', 'delta_norm', 'relative_norm', 'scale', 'effective_rank'].map((metric) =>
          app.spread(metric, window, name),
        ),
      ]);
      const [output_ratio, delta_norm, relative_norm, scale, effective_rank] = spreads;
      return {
        name,
        label: short.get(name),
        letter: letter(name),
        schema,
        alerts,
        path,
        end: endOf(ended, app.runs[name]),
        loss,
        recent,
        start,
        effective_lr: effective,
        lr,
        output_ratio,
        delta_norm,
        relative_norm,
        scale,
        effective_rank,
        settings: settings(schema),
      };
    }),
  );
  const width = app.width,
    third = Math.floor((width - 32) / 3),
    range = [0, Math.max(1, ...chosen.map((name) => app.runs[name].step))];
  const lines = (key, column = 0) =>
    found.map((run) => ({name: run.label, letter: run.letter, matrix: run[key], column, colour: colour(run.name)}));
  const chart = (name, note, key, column, options) =>
    card(
      name,
      note,
      lineChart(lines(key, column), {
        width: third - 26,
        height: em(170),
        range,
        step: app.state.step === '' ? null : app.step,
        onStep: app.setStep,
        ...options,
      }),
    );
  const limits = limitsOf(app.schema, 'output_ratio'),
    lost = found.filter(({path}) => path.missing);

  return h(
    'div',
    {class: 'compare'},
    bar,
    h(
      'div',
      {class: 'columns', style: `grid-template-columns:${width - third - 16}px ${third}px`},
      h('div', {class: 'stack'}, differences(found, colour), outcomes(app, found, colour)),
      card(
        'Where the runs went',
        null,
        lost.length > 0 &&
          h(
            'p',
            {class: 'note'},
            `Without a path: ${lost.map(({letter, path}) => `${letter} (${path.missing})`).join(', ')}.`,
          ),
        h('div', {
          class: 'rest',
          'data-after': true,
          onplaced: ({target}) =>
            target.append(
              picture(
                // as high as the tables beside it
                found.map((run) => ({name: run.label, letter: run.letter, colour: colour(run.name), ...run.path})),
                {
                  width: third - 26,
                  height: Math.max(em(380), Math.min(em(640), target.clientHeight)),
                  limits,
                  metric: 'output_ratio',
                },
              ),
            ),
        }),
      ),
    ),
    sweepCard(app, sweep, width),
    h(
      'div',
      {class: 'legend lettered'},
      found.map((run) =>
        h('span', null, h('i', {class: 'letter', style: `--c:${colour(run.name)}`}, run.letter), run.label),
      ),
    ),
    h(
      'div',
      {class: 'columns', style: `grid-template-columns:repeat(3,${third}px)`},
      chart('Loss', 'mean of five steps', 'recent', 0),
      chart('Loudness', 'output_ratio, 90th percentile', 'output_ratio', 1, {log: true}),
      chart('‖ΔW‖, median', 'over adapters', 'delta_norm', 2, {log: true}),
      chart('‖ΔW‖, largest', 'over adapters', 'delta_norm', 0, {log: true}),
      chart('‖ΔW‖ / ‖W₀‖, median', 'over adapters', 'relative_norm', 2, {log: true}),
      chart('Effective rank, median', 'over adapters', 'effective_rank', 2),
      chart('s · lr', 'first group', 'effective_lr', 0),
      chart('Learning rate', 'first group', 'lr', 0),
      chart('Scale s', 'median', 'scale', 2),
    ),
  );
}

/** The run that is looked at, and one of each other configuration: seeds of the same say little beside one another. */
function suggested(sweep, run, names) {
  const seed = sweep.configurations.flatMap(({runs}) => runs).find(({name}) => name === run)?.seed;
  const others = sweep.configurations
    .filter(({runs}) => !runs.some(({name}) => name === run))
    .map(({runs}) => (runs.find((one) => one.seed === seed) ?? runs[0]).name);
  const wanted = [run, ...others, ...names].filter((name, i, all) => names.includes(name) && all.indexOf(name) === i);
  return wanted
    .slice(0, Math.max(2, Math.min(MOST, 1 + others.length)))
    .sort((a, b) => names.indexOf(a) - names.indexOf(b));
}

const head = (found, colour, first) =>
  h(
    'thead',
    null,
    h(
      'tr',
      null,
      h('th', null, first),
      found.map(({name, label, letter}) =>
        h('th', {title: name}, h('i', {class: 'letter', style: `--c:${colour(name)}`}, letter), label),
      ),
    ),
  );

function differences(found, colour) {
  const keys = [...new Set(found.flatMap((run) => Object.keys(run.settings)))];
  const differ = keys.filter(
    (key) => !ELSEWHERE.test(key) && new Set(found.map((run) => run.settings[key] ?? '–')).size > 1,
  );
  return card(
    'What was set differently',
    `${keys.length - differ.length} settings are the same`,
    differ.length
      ? h(
          'div',
          {class: 'scroll'},
          h(
            'table',
            {class: 'grid sets', id: 'differences'},
            head(found, colour, 'Setting'),
            h(
              'tbody',
              null,
              differ.map((key) =>
                h(
                  'tr',
                  null,
                  h('th', {scope: 'row', class: 'mono', title: key}, key),
                  found.map((run) =>
                    h('td', null, h('div', {class: 'value', title: run.settings[key]}, run.settings[key] ?? '–')),
                  ),
                ),
              ),
            ),
          ),
        )
      : h(
          'p',
          {class: 'none'},
          found.length > 1 ? 'Nothing: these runs have the same settings.' : 'Choose another run above.',
        ),
  );
}

function outcomes(app, found, colour) {
  const lost = (matrix) => matrix?.columns > 0 && matrix.flags[(matrix.columns - 1) * matrix.n] & (NAN | INF);
  const last = (matrix, column) => matrix?.at(Infinity, column);
  /** @type {[string, (run: any) => any][]} */
  const rows = [
    [
      'verdict',
      ({schema, alerts, path}) => {
        const end = path.points.at(-1),
          says = verdict(alerts, end ? zoneOf(end, limitsOf(schema, path.metric)) : 'unknown', path.missing);
        return [says.level === 'OK' ? '✓' : severityIcon(says.level, 11), ' ', says.head];
      },
    ],
    ['end', ({end}) => (end ? h('span', {class: `badge ${end.kind}`, title: end.text}, end.word) : '–')],
    ['steps', ({name, schema}) => `${app.runs[name].step}${schema.max_steps ? ` / ${schema.max_steps}` : ''}`],
    [
      'loss, mean of five',
      ({loss, recent, start}) => {
        const gain = 1 - last(recent) / last(start);
        return lost(loss)
          ? 'NaN'
          : [
              num(last(recent)),
              Number.isFinite(gain) && h('small', null, ` ${gain > 0 ? '−' : '+'}${percent(Math.abs(gain))}`),
            ];
      },
    ],
    [
      'loudness over all blocks',
      ({path}) => (path.broken > (path.points.at(-1)?.step ?? -1) ? 'NaN' : num(path.points.at(-1)?.loudness)),
    ],
    ['‖ΔW‖, largest', ({delta_norm}) => num(last(delta_norm, 0))],
    ['‖ΔW‖, median', ({delta_norm}) => num(last(delta_norm, 2))],
    [
      'alerts',
      ({alerts}) =>
        alerts.length
          ? SEVERITIES.map((severity) => [severity, alerts.filter((alert) => alert.severity === severity).length])
              .filter(([, count]) => count)
              .map(([severity, count]) => h('span', {class: 'tally'}, severityIcon(severity, 11), count))
          : 'none',
    ],
  ];
  return card(
    'What came of it',
    null,
    h(
      'div',
      {class: 'scroll'},
      h(
        'table',
        {class: 'grid sets', id: 'outcomes'},
        head(found, colour, ''),
        h(
          'tbody',
          null,
          rows.map(([name, cell]) =>
            h(
              'tr',
              null,
              h('th', {scope: 'row'}, name),
              found.map((run) => h('td', {class: 'number'}, [cell(run)].flat())),
            ),
          ),
        ),
      ),
    ),
  );
}
