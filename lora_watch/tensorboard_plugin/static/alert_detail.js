// One alert: its words, new settings, remedies, causes, curve and adapters.

import {chartCard, discarded} from './chart.js';
import {em, h, num, plain, severityClass, severityIcon, words} from './dom.js';
import {depthOf} from './picture.js';

/** For how many steps the cause of an alert lasted; no number ends one that is open still. */
export function heldFor(alert) {
  return alert.closed_step == null ? Infinity : alert.last_step - alert.step + 1;
}
export const keyOf = (alert) => `${alert.rule}@${alert.step}`;

export const held = (alert, ended) =>
  alert.closed_step == null
    ? ended
      ? 'to the end'
      : 'still open'
    : `${heldFor(alert)} step${alert.last_step > alert.step ? 's' : ''}`;

/** @param {import('./app.js').App} app */
export async function detail(app, alert, ended, width) {
  const worst = alert.adapters?.[0] && app.adapters.find(({name}) => name === alert.adapters[0].name);
  return h(
    'section',
    {class: `card detail ${severityClass(alert.severity)}`, id: 'detail'},
    h(
      'header',
      null,
      severityIcon(alert.severity, 16),
      h('h2', null, words(alert.name)),
      h('span', {class: 'note'}, `${alert.rule} · step ${alert.step} · ${held(alert, ended)}`),
    ),
    h('p', {class: 'message'}, alert.message),
    remediesOf(app, alert),
    listed('Likely causes', alert.causes, 'ol'),
    await curve(app, alert, worst, width),
    h(
      'div',
      {class: 'actions'},
      h('button', {id: 'to-layer', disabled: !worst, onclick: () => app.openAlert(alert, 'layer')}, 'See the layer'),
      h(
        'button',
        {id: 'to-heatmap', disabled: !app.run.metrics.length, onclick: () => app.openAlert(alert, 'heatmap')},
        'See it in the heatmap',
      ),
    ),
    adaptersOf(app, alert),
  );
}

export const shortName = (app, name) => app.adapters.find((adapter) => adapter.name === name)?.short ?? name;

const listed = (name, items, tag) =>
  items?.length
    ? [
        h('h3', null, name),
        h(
          tag,
          {class: 'advice'},
          items.map((item) => h('li', null, String(item))),
        ),
      ]
    : null;

/**
 * Whether a remedy names all of these numbers as new values, however it writes them: Python's 1e-05 is 0.00001 here.
 * @param {string} remedy
 * @param {number[]} values
 */
export function sets(remedy, values) {
  const named = [...remedy.matchAll(/(?:→ |=)([\d.]+(?:e[+-]?\d+)?)/g)].map(([, number]) => Number(number));
  return values.every((value) => named.includes(value));
}

/** The settings to run again with, and the other remedies, in the order of the rule. */
function remediesOf(app, alert) {
  const remedies = (alert.remedies ?? []).map(String),
    values = Object.values(alert.settings ?? {}).filter((value) => typeof value === 'number');
  const inWords = values.length ? remedies.findIndex((text) => sets(text, values)) : -1; // what the settings say again
  const again = settingsOf(app, alert, remedies[inWords]),
    others = listed(
      'Try',
      remedies.filter((_, i) => i !== inWords),
      'ul',
    );
  return inWords > 0 ? [others, again] : [again, others];
}

/**
 * The new settings as one would type them, next to the run's own; null where the alert has none.
 * @param {import('./app.js').App} app
 */
function settingsOf(app, alert, inWords) {
  const given = Object.entries(alert.settings ?? {}).filter(([, value]) => typeof value === 'number');
  if (!given.length) return null;
  const own = {lora_alpha: app.adapters[0]?.alpha, learning_rate: app.schema.peak_lr?.[0]};
  const text = given.map(([name, value]) => `${name}=${value}`).join(', ');
  return h(
    'div',
    {class: 'settings', id: 'settings'},
    h('h3', null, 'Run again with'),
    given.map(([name, value]) =>
      h(
        'div',
        {class: 'setting'},
        h('span', {class: 'mono'}, name),
        Number.isFinite(own[name]) &&
          own[name] !== value && [h('s', null, plain(own[name])), h('span', {'aria-hidden': 'true'}, '→')],
        h('b', null, plain(value)),
      ),
    ),
    h(
      'button',
      {
        class: 'quiet',
        id: 'copy',
        onclick: async (event) => {
          const button = event.currentTarget;
          try {
            await navigator.clipboard.writeText(text);
            button.textContent = 'copied';
          } catch {
            button.textContent = text;
          } // no clipboard over plain http
        },
      },
      'copy',
    ),
    inWords && h('p', {class: 'note'}, inWords),
  );
}

/**
 * The chart of what the alert is about, of its worst adapter or of the run; null where that was not written.
 * @param {import('./app.js').App} app
 */
async function curve(app, alert, worst, width) {
  const {metric} = alert,
    isMeasured = app.run.metrics.includes(metric),
    window = app.window(400);
  /** @type {any} */
  let line = null;
  if (isMeasured && worst)
    line = {name: `${metric}, ${worst.short}`, matrix: await app.metric(metric, {adapter: worst.index, ...window})};
  else if (app.run.series.includes(metric)) line = {name: metric, matrix: await app.series(metric, window)};
  if (!line) return null;
  return chartCard(line.name, null, [{...line, colour: 'var(--c1)'}], {
    term: metric,
    width: width - 52,
    height: em(150),
    log: isMeasured,
    step: app.step,
    onStep: app.setStep,
    onZoom: app.zoom,
    range: app.range(),
    discarded: discarded(app.alerts),
    alerts: [alert],
    thresholds: isMeasured && (alert.threshold ?? 0) > 0 ? [thresholdOf(app, alert)] : [],
  });
}

/** What the line of a threshold is called: rules that judge all blocks together draw their share of one layer. */
function thresholdOf(app, alert) {
  const depth = depthOf(app.schema),
    {zone} = app.schema.rules?.find(({id}) => id === alert.rule) ?? {},
    depthScaled = zone && ['output_ratio', 'relative_spectral_norm'].includes(alert.metric) && depth !== 1;
  const name = `threshold ${num(alert.threshold)} of a layer`;
  return {
    value: alert.threshold,
    name: depthScaled ? `${name}: ${num(alert.threshold * depth)} / depth ${num(depth)}` : name,
  };
}

/** The adapters that the alert names, each opens to its layer. */
function adaptersOf(app, alert) {
  if (!alert.adapters?.length) return null;
  const row = ({name, value, text}) =>
    h(
      'button',
      {class: 'row', onclick: () => app.set({view: 'layer', adapter: name, step: alert.step, alert: keyOf(alert)})},
      h('span', {class: 'mono'}, name),
      h('b', null, value == null ? (text ?? '–').replace('nan', 'NaN') : num(value)),
    );
  return [
    h('h3', null, `Adapters, worst first (${alert.adapters.length})`),
    h(
      'ol',
      {class: 'named'},
      alert.adapters.slice(0, 40).map((adapter) => h('li', null, row(adapter))),
    ),
  ];
}
