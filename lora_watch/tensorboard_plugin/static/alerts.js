// What went wrong, why, and what to do about it.

import {at, detail, held, keyOf, shortName} from './alert_detail.js';
import {card, h, sentence, severityClass, severityIcon, split, term} from './dom.js';

export const title = 'Alerts';
const COLUMNS = ['Severity', 'Rule', 'What', 'Step', 'Held', 'Adapters'];

/** @param {import('./app.js').App} app */
export async function draw(app) {
  if (!app.alerts.length) return card(null, null, h('p', {class: 'none'}, '✓ No alert in this run.'));
  const ended = !['running', null].includes(app.ending.verdict),
    chosen = app.alerts.find((alert) => keyOf(alert) === app.state.alert) ?? app.alerts[0],
    page = split(app.width, [52, 48], 16, 1000);
  const columns = h(
    'div',
    {class: 'columns', style: `${page.style};align-items:start`},
    card(
      null,
      null,
      h(
        'table',
        {class: 'grid', id: 'alerts'},
        h('thead', null, h('tr', null, ...COLUMNS.map((name) => h('th', null, term(name))))),
        h(
          'tbody',
          null,
          app.alerts.map((alert, i) => row(app, alert, i, alert === chosen, ended)),
        ),
      ),
    ),
    await detail(app, chosen, ended, page.widths[1]),
  );
  return h('div', null, columns);
}

function row(app, alert, i, isChosen, ended) {
  const {severity, rule, message, adapters} = alert;
  return h(
    'tr',
    {
      class: isChosen ? 'chosen' : null,
      'data-alert': keyOf(alert),
      onclick: () => app.openAlert(alert), // the button in it is for keys, and for who does not see it
    },
    h(
      'td',
      null,
      h('span', {class: `tag ${severityClass(severity)}`}, severityIcon(severity, 11), severity.toLowerCase()),
    ),
    h('td', {class: 'mono'}, rule),
    h('td', null, h('button', {id: `alert-${i}`, class: 'open', 'aria-current': String(isChosen)}, sentence(message))),
    h('td', null, at(alert)),
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
