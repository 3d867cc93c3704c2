// What went wrong, why, and what to do about it.

import {chartCard, discarded} from './chart.js';
import {card, em, h, num, plain, SEVERITIES, severityClass, severityIcon, split, term, words} from './dom.js';
import {noAlert} from './overview.js';
import {depthOf} from './picture.js';

export const title = 'Alerts';

const COLUMNS = {
  severity: ['Severity', (alert) => SEVERITIES.indexOf(alert.severity)],
  rule: ['Rule', (alert) => alert.rule],
  name: ['What', (alert) => alert.name],
  step: ['Step', (alert) => alert.step],
  lasted: ['Held', heldFor],
  adapters: ['Adapters', (alert) => -(alert.adapters?.length ?? 0)],
};
/** For how many steps the cause of an alert lasted; no number ends one that is open still. */
export function heldFor(alert) {
  return alert.closed_step == null ? Infinity : alert.last_step - alert.step + 1;
}
const keyOf = (alert) => `${alert.rule}@${alert.step}`;

const held = (alert, ended) =>
  alert.closed_step == null
    ? ended
      ? 'to the end'
      : 'still open'
    : `${heldFor(alert)} step${alert.last_step > alert.step ? 's' : ''}`;

/** @param {import('./app.js').App} app */
export async function draw(app) {
  const {state, alerts} = app;
  const ended = !['running', null].includes(app.ending.verdict);
  const [by, direction] = (state.sort || 'severity.up').split('.');
  const key = (COLUMNS[by] ?? COLUMNS.severity)[1],
    sign = direction === 'down' ? -1 : 1;
  const needle = state.find.toLowerCase();
  const matches = (alert) =>
    !needle ||
    [alert.rule, alert.name, alert.message, ...(alert.adapters ?? []).map(({name}) => name)].some((text) =>
      text.toLowerCase().includes(needle),
    );
  const compare = (a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0) * sign || a.step - b.step;
  const shown = alerts
    .filter((alert) => (!state.level || alert.severity === state.level) && matches(alert))
    .sort(compare);
  const chosen = shown.find((alert) => keyOf(alert) === state.alert) ?? shown[0];

  const bar = h(
    'div',
    {class: 'toolbar'},
    h(
      'div',
      {class: 'segment', role: 'group', 'aria-label': 'severity'},
      ['', ...SEVERITIES].map((severity) =>
        h(
          'button',
          {
            id: `level-${severity || 'all'}`,
            'aria-pressed': String(state.level === severity),
            onclick: () => app.set({level: severity}),
          },
          severity && severityIcon(severity, 11),
          severity
            ? `${severity.toLowerCase()} ${alerts.filter((alert) => alert.severity === severity).length}`
            : `all ${alerts.length}`,
        ),
      ),
    ),
    h('input', {
      id: 'find',
      type: 'search',
      placeholder: 'rule, text or adapter',
      value: state.find,
      'aria-label': 'filter',
      oninput: (event) => app.set({find: event.target.value}),
    }),
  );

  const table = h(
    'table',
    {class: 'grid', id: 'alerts'},
    h(
      'thead',
      null,
      h(
        'tr',
        null,
        Object.entries(COLUMNS).map(([name, [label]]) =>
          h(
            'th',
            {'aria-sort': name === by ? (sign > 0 ? 'ascending' : 'descending') : null},
            term(label),
            h(
              'button',
              {
                id: `sort-${name}`,
                class: 'sort',
                'aria-label': `sort by ${label}`,
                onclick: () => app.set({sort: `${name}.${name === by && sign > 0 ? 'down' : 'up'}`}),
              },
              name === by ? (sign > 0 ? '↑' : '↓') : '↕',
            ),
          ),
        ),
      ),
    ),
    h(
      'tbody',
      null,
      shown.map((alert, i) =>
        h(
          'tr',
          {
            class: alert === chosen ? 'chosen' : null,
            'data-alert': keyOf(alert),
            onclick: () => app.openAlert(alert), // the button in it is for keys, and for who does not see it
            onkeydown: (event) => {
              const next = {ArrowDown: 'nextElementSibling', ArrowUp: 'previousElementSibling'}[event.key];
              if (!next) return;
              event.preventDefault();
              event.currentTarget[next]?.querySelector('.open').focus();
            },
          },
          h(
            'td',
            null,
            h(
              'span',
              {class: `tag ${severityClass(alert.severity)}`},
              severityIcon(alert.severity, 11),
              alert.severity.toLowerCase(),
            ),
          ),
          h('td', {class: 'mono'}, alert.rule),
          h(
            'td',
            null,
            h('button', {id: `alert-${i}`, class: 'open', 'aria-current': String(alert === chosen)}, words(alert.name)),
          ),
          h('td', {class: 'number'}, alert.step),
          h('td', null, held(alert, ended)),
          h(
            'td',
            null,
            alert.adapters?.length
              ? [
                  h('span', {class: 'mono clip'}, short(app, alert.adapters[0].name)),
                  alert.adapters.length > 1 && h('small', null, ` +${alert.adapters.length - 1}`),
                ]
              : '–',
          ),
        ),
      ),
    ),
  );
  if (!alerts.length) return h('div', null, await watchers(app));
  const page = split(app.width, [52, 48]);
  return h(
    'div',
    null,
    bar,
    h(
      'div',
      {class: 'columns', style: `${page.style};align-items:start`},
      card(null, null, table, !shown.length && h('p', {class: 'none'}, 'No alert fits this filter.')),
      chosen ? await detail(app, chosen, ended, page.widths[1]) : h('div'),
    ),
  );
}

/**
 * What would have spoken: the rules of a run without an alert, by family, each with its page.
 * @param {import('./app.js').App} app
 */
async function watchers(app) {
  const {rules} = await app.data.rules(app.state.run);
  const families = [...new Set(rules.map(({family}) => family))];
  return card(
    `✓ ${noAlert(app.schema)}`,
    'each opens to its page',
    h(
      'div',
      {class: 'rules'},
      families.map((family) =>
        h('section', null, h('h3', null, family), rules.filter((rule) => rule.family === family).map(page)),
      ),
    ),
  );
}

const PARTS = {means: 'What it means', check: 'Check first', fix: 'How to fix it', mute: 'When to mute it'};

/** A rule in one line, which opens to what to do about it. */
const page = (rule) =>
  h(
    'details',
    {class: 'rule'},
    h(
      'summary',
      null,
      severityIcon(rule.severity, 11),
      h('span', {class: 'mono'}, rule.id),
      h('span', null, h('b', null, words(rule.name)), h('span', {class: 'note'}, rule.summary)),
    ),
    h(
      'dl',
      null,
      Object.entries(PARTS).map(([part, name]) => rule[part] && [h('dt', null, name), h('dd', null, rule[part])]),
      [h('dt', null, 'All of it'), h('dd', {class: 'mono'}, `lora-watch rules ${rule.id}`)],
    ),
  );

/** What the line of a threshold is called: rules that judge all blocks together draw their share of one layer. */
function thresholdOf(app, alert, metric) {
  const depth = depthOf(app.schema),
    {zone} = app.schema.rules?.find(({id}) => id === alert.rule) ?? {},
    depthScaled = zone && ['output_ratio', 'relative_spectral_norm'].includes(metric) && depth !== 1;
  const name = `threshold ${num(alert.threshold)} of a layer`;
  return {
    value: alert.threshold,
    name: depthScaled ? `${name}: ${num(alert.threshold * depth)} / depth ${num(depth)}` : name,
  };
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

const short = (app, name) => app.adapters.find((adapter) => adapter.name === name)?.short ?? name;

/** @param {import('./app.js').App} app */
async function detail(app, alert, ended, width) {
  const worst = alert.adapters?.[0] && app.adapters.find(({name}) => name === alert.adapters[0].name);
  const metric = app.run.metrics.includes(alert.metric) ? alert.metric : null;
  /** @type {any} */
  let line = null;
  if (metric && worst)
    line = {
      name: `${metric}, ${worst.short}`,
      matrix: await app.metric(metric, {adapter: worst.index, ...app.window(400)}),
    };
  else if (app.run.series.includes(alert.metric))
    line = {name: alert.metric, matrix: await app.series(alert.metric, app.window(400))};
  const remedies = (alert.remedies ?? []).map(String),
    values = Object.values(alert.settings ?? {}).filter((value) => typeof value === 'number');
  const inWords = values.length
    ? remedies.findIndex((text) => values.every((value) => text.includes(`→ ${value}`)))
    : -1; // what the settings say again
  const again = settingsOf(app, alert, remedies[inWords]),
    others = remedies.filter((_, i) => i !== inWords);
  const list = (name, items, tag) =>
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
    ...(inWords > 0 ? [list('Try', others, 'ul'), again] : [again, list('Try', others, 'ul')]),
    list('Likely causes', alert.causes, 'ol'),
    line &&
      chartCard(line.name, null, [{...line, colour: 'var(--c1)'}], {
        term: alert.metric,
        width: width - 52,
        height: em(150),
        log: Boolean(metric),
        step: app.step,
        onStep: app.setStep,
        onZoom: app.zoom,
        range: app.range(),
        discarded: discarded(app.alerts),
        alerts: [alert],
        thresholds: metric && (alert.threshold ?? 0) > 0 ? [thresholdOf(app, alert, metric)] : [],
      }),
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
    alert.adapters?.length
      ? [
          h('h3', null, `Adapters, worst first (${alert.adapters.length})`),
          h(
            'ol',
            {class: 'named'},
            alert.adapters.slice(0, 40).map((adapter) =>
              h(
                'li',
                null,
                h(
                  'button',
                  {
                    class: 'row',
                    onclick: () =>
                      app.set({view: 'layer', adapter: adapter.name, step: alert.step, alert: keyOf(alert)}),
                  },
                  h('span', {class: 'mono'}, adapter.name),
                  h(
                    'b',
                    null,
                    adapter.value == null ? (adapter.text ?? '–').replace('nan', 'NaN') : num(adapter.value),
                  ),
                ),
              ),
            ),
          ),
        ]
      : null,
  );
}
