// One alert: its words, cause, new settings, curve and adapters.

import {chartCard} from './chart.js';
import {em, h, num, sentence, severityClass, severityIcon} from './dom.js';
import {depthOf, RATIOS} from './picture.js';

/** Where an alert was raised, or became as grave as it is. */
export const at = ({step, graver_at: graver = null}) => ((graver ?? step) ? `step ${graver ?? step}` : 'before step 1');

const firstSeen = (alert) => (alert.graver_at == null ? '' : `, first seen ${at({step: alert.step})}`);

export const keyOf = (alert) => `${alert.rule}@${alert.step}`;

/** For how many steps the cause of an alert lasted. */
export function held({lasted, closed_step}, ended) {
  if (closed_step == null) return ended ? 'to the end' : 'still open';
  return `${lasted} step${lasted > 1 ? 's' : ''}`;
}

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
      h('h2', null, sentence(alert.message)),
      h('span', {class: 'note'}, `${alert.rule} · ${at(alert)}${firstSeen(alert)} · ${held(alert, ended)}`),
    ),
    alert.details && h('p', {class: 'message'}, alert.details),
    listed('Cause', alert.causes),
    alert.next_run && [h('h3', null, 'Next run'), h('p', {class: 'advice', id: 'settings'}, alert.next_run.text)],
    listed('Fix', alert.remedies),
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

const listed = (name, items) =>
  items?.length
    ? [
        h('h3', null, name),
        h(
          'ul',
          {class: 'advice'},
          items.map((item) => h('li', null, String(item))),
        ),
      ]
    : null;

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
    ...app.charting,
    alerts: [alert],
    thresholds:
      isMeasured && (alert.threshold ?? 0) > 0
        ? [{value: alert.threshold, name: `threshold ${num(alert.threshold)}${overBlocks(alert, depthOf(app.schema))}`}]
        : [],
  });
}

/** A threshold for all blocks is drawn as the share of one. */
const overBlocks = ({threshold, metric}, depth) =>
  depth > 1 && RATIOS.includes(metric) ? `: ${num(threshold * depth)} over ${num(depth)} blocks` : '';

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
