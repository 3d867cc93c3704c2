// The bar on top: views, run, step.

import {countOf, h, SEVERITIES, severityClass} from './dom.js';
import {endOf} from './overview.js';
import {VIEWS} from './views.js';

/** @typedef {import('./app.js').App} App */

/** @param {App} app */
export function drawBar(app) {
  const focused = document.activeElement?.id;
  const {from, to} = app.state;
  app.bar.replaceChildren(
    app.heading,
    h('nav', {'aria-label': 'views'}, tabs(app)),
    runPicker(app),
    stepPicker(app),
    h(
      'button',
      {
        id: 'latest',
        class: 'quiet',
        title: 'follow the latest step (End)',
        disabled: app.state.step === '',
        onclick: () => app.set({step: ''}),
      },
      'latest',
    ),
    from === '' && to === ''
      ? ''
      : h(
          'button',
          {id: 'unzoom', class: 'quiet', title: 'all steps (Esc)', onclick: () => app.set({from: '', to: ''})},
          `steps ${from}–${to}  ✕`,
        ),
    h('span', {class: 'grow'}),
    app.live ? refreshButton(app) : '',
  );
  if (focused) document.getElementById(focused)?.focus({preventScroll: true});
}

/**
 * The views, with the number of alerts in the colour of the worst.
 * @param {App} app
 */
function tabs(app) {
  const worst = SEVERITIES.find((severity) => countOf(app.counts, severity)),
    count = SEVERITIES.reduce((sum, severity) => sum + countOf(app.counts, severity), 0);
  return Object.entries(VIEWS).map(([name, view]) =>
    h(
      'button',
      {id: `tab-${name}`, 'aria-current': name === app.state.view && 'page', onclick: () => app.set({view: name})},
      view.title,
      name === 'alerts' && worst ? h('span', {class: `count ${severityClass(worst)}`}, count) : null,
    ),
  );
}

/** @param {App} app */
const stepPicker = (app) =>
  h(
    'label',
    {class: 'pick scrub'},
    'Step',
    h('input', {
      id: 'scrub',
      type: 'range',
      min: 0,
      max: app.lastStep,
      value: app.step,
      'aria-label': 'step',
      onchange: (event) => app.setStep(Number(event.target.value)),
      oninput: (event) => {
        event.target.nextElementSibling.textContent = event.target.value;
      },
    }),
    h('output', {id: 'step'}, app.step),
  );

/** @param {App} app */
const refreshButton = (app) =>
  h(
    'button',
    {
      id: 'refresh',
      class: app.newer ? 'quiet newer' : 'quiet',
      title: 'ask TensorBoard again',
      'aria-label': app.newer ? null : 'refresh',
      onclick: () => app.refresh(),
    },
    app.newer ? `↻ ${app.newer}` : '↻',
  );

/**
 * The runs, each with what it says of its end.
 * @param {App} app
 */
function runPicker(app) {
  const option = (name) => {
    const end = endOf(app.runs[name], app.runs[name]);
    return h('option', {value: name, selected: name === app.state.run}, end ? `${name} (${end.word})` : name);
  };
  return h(
    'label',
    {class: 'pick'},
    'Run',
    h('select', {id: 'run', onchange: ({target}) => app.openRun(target.value)}, app.runNames.map(option)),
  );
}
