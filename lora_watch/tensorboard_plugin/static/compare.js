// Two or more runs side by side: what was set differently, and what came of it.

import {chartCard, discarded} from './chart.js';
import {card, em, explained, h, middle, num, percent, SEVERITIES, severityIcon, split, term} from './dom.js';
import {endOf, recoveryIn, verdict} from './overview.js';
import {damageFrom, gainAt, pathOf, picture, zoneAt} from './picture.js';

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
  const swept = schema.config?.find_lr;
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
    ...flatten(swept ? {...schema.config, find_lr: swept.rate} : (schema.config ?? {})), // without its curve
    ...flatten({versions: schema.versions ?? {}}),
  };
}

/** @param {import('./app.js').App} app */
export async function draw(app) {
  const names = Object.keys(app.runs).sort((a, b) => a.localeCompare(b, undefined, {numeric: true}));
  const labels = shortNames(names),
    chosen = chosenRuns(app, names),
    marks = marksOf(chosen);
  const found = await Promise.all(
    chosen.map(async (name) => ({...(await readRun(app, name)), label: labels.get(name), ...marks.get(name)})),
  );
  const page = split(app.width, [2, 1]);
  return h(
    'div',
    {class: 'compare'},
    picker(app, names, labels, marks),
    h(
      'div',
      {class: 'columns top', style: page.style},
      h('div', {class: 'stack'}, differences(found), outcomes(app, found)),
      paths(found, page.widths[1] - 26),
    ),
    h(
      'div',
      {class: 'legend lettered'},
      found.map((run) => h('span', null, letterOf(run), run.label)),
    ),
    charts(app, found),
  );
}

/** The runs that the address names, in its order; else the one that is looked at and the first of the others. */
function chosenRuns(app, names) {
  let chosen = [];
  try {
    chosen = JSON.parse(app.state.runs || '[]').filter((name) => name in app.runs);
  } catch {
    /* a mistyped address */
  }
  if (chosen.length) return chosen;
  const others = names.filter((name) => name !== app.state.run).slice(0, MOST - 1);
  return names.filter((name) => name === app.state.run || others.includes(name));
}

/** The letter and the colour of each chosen run, by its name. */
const marksOf = (chosen) =>
  new Map(chosen.map((name, i) => [name, {letter: LETTERS[i], colour: `var(--c${1 + (i % 6)})`}]));

const letterOf = ({colour, letter}) => h('i', {class: 'letter', style: `--c:${colour}`}, letter);

/** The names of all runs, to choose among: a press takes a run in, or out. */
function picker(app, names, labels, marks) {
  const find = app.state.among.toLowerCase(),
    chosen = [...marks.keys()];
  const toggle = (name) =>
    app.set({
      runs: JSON.stringify(marks.has(name) ? chosen.filter((other) => other !== name) : [...chosen, name].slice(-MOST)),
    });
  const chip = (name, i) =>
    h(
      'button',
      {
        id: `pick-${i}`,
        class: 'chip run',
        'aria-pressed': String(marks.has(name)),
        style: marks.has(name) ? `--c:${marks.get(name).colour}` : null,
        title: name,
        onclick: () => toggle(name),
      },
      h('i', {class: 'letter'}, marks.get(name)?.letter),
      labels.get(name),
      verdictOf(app.runs[name]),
    );
  return h(
    'div',
    {class: 'toolbar wrap', id: 'chosen'},
    names.length > MOST &&
      h('input', {
        id: 'among',
        type: 'search',
        placeholder: `find one of ${names.length} runs`,
        'aria-label': 'find a run',
        value: app.state.among,
        oninput: (event) => app.set({among: event.target.value}),
      }),
    names.map((name, i) => (marks.has(name) || name.toLowerCase().includes(find)) && chip(name, i)),
    h('span', {class: 'note'}, `up to ${MOST} runs`),
  );
}

/** What a run says of its end, as a badge. */
function verdictOf(run) {
  const end = endOf(run, run);
  return end && h('span', {class: `badge ${end.kind}`}, end.word);
}

/** The paths of all runs in one picture, and why a run has none. */
function paths(found, width) {
  const lost = found.filter(({path}) => path.missing),
    metric = found.find(({path}) => !path.missing)?.path.metric;
  const drawn = found.map(({label, letter, colour, path}) => ({name: label, letter, colour, ...path}));
  return card(
    term('Where the runs went', 'path'),
    null,
    lost.length > 0 &&
      h(
        'p',
        {class: 'note'},
        `Without a path: ${lost.map(({letter, path}) => `${letter} (${path.missing})`).join(', ')}.`,
      ),
    lost.length < found.length &&
      picture(drawn, {width, height: em(460), metric, damage: damageFrom(found[0].schema, metric)}),
  );
}

/** A chart a metric, with a line a run. */
function charts(app, found) {
  const row = split(app.width, [1, 1, 1]),
    log = {log: true};
  const shared = {
    legend: false,
    width: row.widths[0] - 26,
    height: em(170),
    range: app.range(Math.max(...found.map(({name}) => app.runs[name].step))),
    step: app.state.step === '' ? null : app.step,
    onStep: app.setStep,
    onZoom: app.zoom,
  };
  const chart = (name, note, term, key, column, options) =>
    chartCard(
      name,
      note,
      found.map((run) => ({name: run.label, letter: run.letter, matrix: run[key], column, colour: run.colour})),
      {term, ...shared, ...options},
    );
  return h(
    'div',
    {class: 'columns', style: row.style},
    chart('Loss', 'mean of five steps', 'loss', 'loss_recent', 0),
    chart('Output ratio', '90th percentile', 'output_ratio', 'output_ratio', 1, log),
    chart('‖ΔW‖, median', 'over adapters', 'delta_norm', 'delta_norm', 2, log),
    chart('‖ΔW‖, largest', 'over adapters', 'delta_norm', 'delta_norm', 0, log),
    chart('‖ΔW‖ / ‖W₀‖, median', 'over adapters', 'relative_norm', 'relative_norm', 2, log),
    chart('Effective rank, median', 'over adapters', 'effective_rank', 'effective_rank', 2),
    chart('s · lr', 'first group', 'effective_lr', 'effective_lr', 0, {
      log: found.some(({alerts}) => discarded(alerts).length > 0),
    }),
    chart('Learning rate', 'first group', 'lr', 'lr', 0),
    chart('Scale s', 'median', 'scale', 'scale', 2),
  );
}

const SERIES = ['loss_recent', 'effective_lr', 'lr'];
const SPREADS = ['output_ratio', 'delta_norm', 'relative_norm', 'scale', 'effective_rank'];

/**
 * What the page shows of one run; each series and spread by its name, null where the run has none; `last`: the numbers
 * of its last step.
 * @param {import('./app.js').App} app
 */
async function readRun(app, name) {
  const window = app.window(400);
  const now = {at: app.runs[name].step};
  const [schema, {alerts}, ending, path, last, sizes, series, spreads] = await Promise.all([
    app.data.schema(name),
    app.data.alerts(name),
    app.data.verdict(name),
    pathOf(app, name),
    app.seriesOf(['loss', 'loss_start', 'loss_recent', 'zone'], now, name),
    app.spread('delta_norm', now, name),
    Promise.all(SERIES.map((key) => app.series(key, window, name))),
    Promise.all(SPREADS.map((key) => app.spread(key, window, name))),
  ]);
  const matrices = [...SERIES, ...SPREADS].map((key, i) => [key, [...series, ...spreads][i]]);
  const end = endOf(ending, app.runs[name]);
  Object.assign(last, {delta_norm: sizes});
  return {name, schema, alerts, ending, path, end, last, settings: settings(schema), ...Object.fromEntries(matrices)};
}

const head = (found, first) =>
  h(
    'thead',
    null,
    h(
      'tr',
      null,
      h('th', null, first),
      found.map((run) => h('th', {title: run.name}, letterOf(run), run.label)),
    ),
  );

/** A table of runs, as wide as they need: it is moved to and fro where the page is narrower. */
const wideTable = (id, found, label, ...parts) =>
  h(
    'div',
    {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': label},
    h('table', {class: 'grid sets', id, style: `min-width:${12 + 8 * found.length}rem`}, parts),
  );

function differences(found) {
  const keys = [...new Set(found.flatMap((run) => Object.keys(run.settings)))].filter((key) => !ELSEWHERE.test(key));
  const values = (key) => found.filter((run) => key in run.settings).map((run) => run.settings[key]);
  const differ = keys.filter((key) => new Set(values(key)).size > 1),
    partly = keys.filter((key) => !differ.includes(key) && values(key).length < found.length);
  const row = (key) =>
    h(
      'tr',
      null,
      h('th', {scope: 'row', class: 'mono'}, middle(key)),
      found.map((run) => h('td', null, h('div', {class: 'value'}, middle(run.settings[key] ?? '–')))),
    );
  const table = (id, rows) => wideTable(id, found, 'settings', head(found, 'Setting'), h('tbody', null, rows.map(row)));
  return card(
    'What was set differently',
    `${keys.length - differ.length - partly.length} settings are the same`,
    differ.length
      ? table('differences', differ)
      : h(
          'p',
          {class: 'none'},
          found.length > 1 ? 'Nothing: these runs have the same settings.' : 'Choose another run above.',
        ),
    partly.length > 0 &&
      h(
        'details',
        {class: 'partly'},
        h('summary', null, `${partly.length} settings that some of these runs alone have`),
        table('partly', partly),
      ),
  );
}

/** @param {import('./app.js').App} app */
function outcomes(app, found) {
  /** @type {[string, (run: any) => any][]} */
  const rows = [
    [
      'verdict',
      ({schema, alerts, ending, last, path}) => {
        const recovered = recoveryIn(alerts, Infinity);
        const says = verdict(alerts[ending.first], zoneAt(schema, last.zone, Infinity), path.missing, recovered);
        return [says.kind === 'ok' ? '✓' : severityIcon(says.kind.toUpperCase(), 11), ' ', says.head];
      },
    ],
    ['end', ({end}) => (end ? explained(end.word, end.text, {class: `badge ${end.kind}`}) : '–')],
    ['steps', ({name, schema}) => `${app.runs[name].step}${schema.max_steps ? ` / ${schema.max_steps}` : ''}`],
    [
      'loss, mean of five',
      ({last}) => {
        const gain = gainAt(last, Infinity);
        if (!Number.isFinite(last.loss?.at(Infinity) ?? 0)) return 'NaN';
        return [
          num(last.loss_recent?.at(Infinity)),
          Number.isFinite(gain) && h('small', null, ` gain ${percent(gain)}`),
        ];
      },
    ],
    [
      'depth-scaled output ratio',
      ({path}) => (path.broken >= (path.points.at(-1)?.step ?? 0) ? 'NaN' : num(path.points.at(-1)?.ratio)),
    ],
    ['‖ΔW‖, largest', ({last}) => num(last.delta_norm?.at(Infinity, 0))],
    ['‖ΔW‖, median', ({last}) => num(last.delta_norm?.at(Infinity, 2))],
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
    wideTable(
      'outcomes',
      found,
      'outcomes',
      head(found, 'Outcome'),
      h(
        'tbody',
        null,
        rows.map(([name, cell]) =>
          h(
            'tr',
            null,
            h('th', {scope: 'row'}, term(name)),
            found.map((run) => h('td', {class: 'number'}, [cell(run)].flat())),
          ),
        ),
      ),
    ),
  );
}
