// What went wrong, why, and what to do about it.

import {detail, held, heldFor, keyOf, shortName} from './alert_detail.js';
import {card, h, SEVERITIES, severityClass, severityIcon, split, term, words} from './dom.js';
import {noAlert} from './overview.js';

export const title = 'Alerts';

const COLUMNS = {
  severity: ['Severity', (alert) => SEVERITIES.indexOf(alert.severity)],
  rule: ['Rule', (alert) => alert.rule],
  name: ['What', (alert) => alert.name],
  step: ['Step', (alert) => alert.step],
  lasted: ['Held', heldFor],
  adapters: ['Adapters', (alert) => -(alert.adapters?.length ?? 0)],
};

/** @param {import('./app.js').App} app */
export async function draw(app) {
  const {state, alerts} = app;
  if (!alerts.length) return h('div', null, await watchers(app));
  const ended = !['running', null].includes(app.ending.verdict),
    order = orderOf(state.sort);
  const shown = alerts
    .filter((alert) => (!state.level || alert.severity === state.level) && mentions(alert, state.find.toLowerCase()))
    .sort(order.compare);
  const chosen = shown.find((alert) => keyOf(alert) === state.alert) ?? shown[0];
  const page = split(app.width, [52, 48]);
  return h(
    'div',
    null,
    toolbar(app),
    h(
      'div',
      {class: 'columns', style: `${page.style};align-items:start`},
      card(
        null,
        null,
        h(
          'table',
          {class: 'grid', id: 'alerts'},
          heading(app, order),
          h(
            'tbody',
            null,
            shown.map((alert, i) => row(app, alert, i, alert === chosen, ended)),
          ),
        ),
        !shown.length && h('p', {class: 'none'}, 'No alert fits this filter.'),
      ),
      chosen ? await detail(app, chosen, ended, page.widths[1]) : h('div'),
    ),
  );
}

/** How alerts are sorted: the column, the sign of its direction, and what compares two; alike ones are by step. */
function orderOf(sort) {
  const [by, direction] = (sort || 'severity.up').split('.');
  const key = (COLUMNS[by] ?? COLUMNS.severity)[1],
    sign = direction === 'down' ? -1 : 1;
  const compare = (a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0) * sign || a.step - b.step;
  return {by, sign, compare};
}

/** Whether the rule, the words or an adapter of an alert has this text in it. */
function mentions(alert, needle) {
  const texts = [alert.rule, alert.name, alert.message, ...(alert.adapters ?? []).map(({name}) => name)];
  return !needle || texts.some((text) => text.toLowerCase().includes(needle));
}

/** @param {import('./app.js').App} app */
function toolbar(app) {
  const {state, alerts} = app;
  const level = (severity) =>
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
    );
  return h(
    'div',
    {class: 'toolbar'},
    h('div', {class: 'segment', role: 'group', 'aria-label': 'severity'}, ['', ...SEVERITIES].map(level)),
    h('input', {
      id: 'find',
      type: 'search',
      placeholder: 'rule, text or adapter',
      value: state.find,
      'aria-label': 'filter',
      oninput: (event) => app.set({find: event.target.value}),
    }),
  );
}

/** The names of the columns, each with a button that sorts by it. */
function heading(app, {by, sign}) {
  const column = (name, label) =>
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
    );
  return h(
    'thead',
    null,
    h(
      'tr',
      null,
      Object.entries(COLUMNS).map(([name, [label]]) => column(name, label)),
    ),
  );
}

function row(app, alert, i, isChosen, ended) {
  const {severity, rule, name, step, adapters} = alert;
  return h(
    'tr',
    {
      class: isChosen ? 'chosen' : null,
      'data-alert': keyOf(alert),
      onclick: () => app.openAlert(alert), // the button in it is for keys, and for who does not see it
      onkeydown: toNextRow,
    },
    h(
      'td',
      null,
      h('span', {class: `tag ${severityClass(severity)}`}, severityIcon(severity, 11), severity.toLowerCase()),
    ),
    h('td', {class: 'mono'}, rule),
    h('td', null, h('button', {id: `alert-${i}`, class: 'open', 'aria-current': String(isChosen)}, words(name))),
    h('td', {class: 'number'}, step),
    h('td', null, held(alert, ended)),
    h(
      'td',
      null,
      adapters?.length
        ? [
            h('span', {class: 'mono clip'}, shortName(app, adapters[0].name)),
            adapters.length > 1 && h('small', null, ` +${adapters.length - 1}`),
          ]
        : '–',
    ),
  );
}

/** Arrows move the focus along the alerts. */
function toNextRow(event) {
  const next = {ArrowDown: 'nextElementSibling', ArrowUp: 'previousElementSibling'}[event.key];
  if (!next) return;
  event.preventDefault();
  event.currentTarget[next]?.querySelector('.open').focus();
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

const PARTS = {means: 'What it means', fix: 'What to do', mute: 'Switching it off'};

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
