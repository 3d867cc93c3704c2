// All runs in one table: how each ended, what came of it, and what was set differently.

import {card, countOf, explained, h, num, SEVERITIES, severityIcon, term} from './dom.js';
import {endOf, recoveryIn, verdict} from './overview.js';
import {againstStart, depthOf, gainAt, RATIOS, REWARDS, riseAt, sizeAt, zoneAt} from './picture.js';

export const title = 'Compare';
/** Said in other columns, or nothing the user set. */
const ELSEWHERE =
  /^(learning_rate|parameters|find_lr\..*|lora\..*\.(r|lora_alpha|use_rslora|peft_version|inference_mode))$/;

/** Nested settings as {'a.b': text}. */
function flatten(value, prefix = '', out = {}) {
  if (value && typeof value === 'object' && !Array.isArray(value)) {
    for (const [key, inner] of Object.entries(value)) flatten(inner, prefix ? `${prefix}.${key}` : key, out);
  } else out[prefix] = said(value);
  return out;
}

function said(value) {
  if (Array.isArray(value)) return value.map(String).join(', ');
  return typeof value === 'number' && !Number.isInteger(value) ? num(value) : String(value ?? '–');
}

/** @param {import('./app.js').App} app */
export async function draw(app) {
  const found = await Promise.all(app.runNames.map((name) => readRun(app, name)));
  const policies = found.some(({last}) => last.reward);
  const columns = [...COLUMNS.filter(([name]) => policies || !name.startsWith('reward')), ...differences(found)];
  return h(
    'div',
    {class: 'compare'},
    card(
      `${found.length} run${found.length === 1 ? '' : 's'}`,
      'with every setting that differs',
      h(
        'div',
        {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'runs'},
        h(
          'table',
          {class: 'grid sets', id: 'runs'},
          h('thead', null, h('tr', null, h('th', null, 'Run'), ...columns.map(([name]) => h('th', null, term(name))))),
          h(
            'tbody',
            null,
            found.map((run) => row(app, run, columns)),
          ),
        ),
      ),
    ),
  );
}

function row(app, run, columns) {
  const open = {class: 'open', onclick: () => app.openRun(run.name, 'overview')};
  return h(
    'tr',
    {class: run.name === app.state.run ? 'chosen' : null},
    h('th', {scope: 'row'}, h('button', open, run.name)),
    columns.map(([, cell]) => h('td', null, [cell(run)].flat())),
  );
}

/** What the table has of every run: the name of a column and what stands in it. @type {[string, (run: any) => any][]} */
const COLUMNS = [
  ['verdict', ({says}) => [says.kind === 'ok' ? '✓' : severityIcon(says.kind.toUpperCase(), 11), ' ', says.head]],
  ['end', ({end}) => (end ? explained(end.word, end.text, {class: `badge ${end.kind}`}) : '–')],
  ['steps', ({step, schema}) => `${step}${schema.max_steps ? ` / ${schema.max_steps}` : ''}`],
  ['r', ({schema}) => ofAdapters(schema, 'r')],
  ['alpha', ({schema}) => ofAdapters(schema, 'alpha')],
  ['scale', ({schema}) => ofAdapters(schema, 'scale')],
  ['lr', rateCell],
  [
    'loss, mean of five',
    ({last}) => {
      if (!Number.isFinite(last.loss?.at(Infinity) ?? 0)) return 'NaN';
      const gain = gainAt(last, Infinity);
      return [num(last.loss_recent?.at(Infinity)), Number.isFinite(gain) && h('small', null, ` ${againstStart(gain)}`)];
    },
  ],
  [
    'reward, mean of five',
    ({last}) => [num(last.reward_recent?.at(Infinity)), h('small', null, ` ${riseAt(last, Infinity) ?? ''}`)],
  ],
  ['size of the adapters', ({ratio}) => num(ratio)],
  [
    'alerts',
    ({counts}) =>
      SEVERITIES.map((severity) => [severity, countOf(counts, severity)])
        .filter(([, count]) => count)
        .map(([severity, count]) => h('span', {class: 'tally'}, severityIcon(severity, 11), count)),
  ],
];

/** The adapters' peak learning rate, and the script's where the run had another. */
function rateCell({schema}) {
  const [rate, script] = (schema.rates ?? []).map((rate) => num(rate));
  return [rate, script !== rate && script && h('small', null, ` (${script} set)`)];
}

const ofAdapters = ({adapters}, key) => [...new Set(adapters.map((adapter) => said(adapter[key])))].join(', ') || '–';

/** A column for each setting that is not the same in all runs. */
function differences(found) {
  const keys = [...new Set(found.flatMap(({settings}) => Object.keys(settings)))].filter((key) => !ELSEWHERE.test(key));
  return keys
    .filter((key) => new Set(found.map(({settings}) => settings[key])).size > 1)
    .map((key) => [key, ({settings}) => settings[key] ?? '–']);
}

/**
 * What the table shows of one run; `last`: the numbers of its last step.
 * @param {import('./app.js').App} app
 */
async function readRun(app, name) {
  const {step, metrics} = app.runs[name];
  const metric = RATIOS.find((known) => metrics.includes(known));
  const [schema, {alerts, counts}, ending, last, sizes] = await Promise.all([
    app.data.schema(name),
    app.data.alerts(name),
    app.data.verdict(name),
    app.seriesOf(['loss', 'loss_start', 'loss_recent', 'size', ...REWARDS, 'zone'], {at: step}, name),
    metric ? app.spread(metric, {at: step}, name) : null,
  ]);
  const end = endOf(ending, app.runs[name]),
    says = verdict(
      alerts[ending.first],
      zoneAt(schema, last.zone, Infinity),
      null,
      recoveryIn(alerts, Infinity),
      alerts,
      end,
    );
  return {
    name,
    step,
    schema,
    counts,
    last,
    says,
    end,
    ratio: sizeAt({metric, depth: depthOf(schema)}, last, sizes, Infinity),
    settings: flatten({...schema.config, optimizer: schema.optimizer, versions: schema.versions ?? {}}),
  };
}
