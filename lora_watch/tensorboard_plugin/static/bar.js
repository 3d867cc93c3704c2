// The bar on top: views, run, step.

import {h, SEVERITIES, severityClass} from './dom.js';
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
    h(
      'button',
      {id: 'keys', class: 'quiet', 'aria-label': 'help', title: 'help (?)', onclick: () => app.help.showModal()},
      '?',
    ),
  );
  if (focused) document.getElementById(focused)?.focus({preventScroll: true});
}

/**
 * The views, with the number of alerts in the colour of the worst.
 * @param {App} app
 */
function tabs(app) {
  const worst = SEVERITIES.find((severity) => app.alerts.some((alert) => alert.severity === severity));
  return Object.entries(VIEWS).map(([name, view], i) =>
    h(
      'button',
      {
        id: `tab-${name}`,
        'aria-current': name === app.state.view && 'page',
        title: `key ${i + 1}`,
        onclick: () => app.set({view: name}),
      },
      view.title,
      name === 'alerts' && app.alerts.length
        ? h('span', {class: `count ${severityClass(worst)}`}, app.alerts.length)
        : null,
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

/** A field in which a part of a run's name finds it; what it holds otherwise is the run that is shown. */
function runPicker(app) {
  const {run} = app.state;
  const names = Object.keys(app.runs).sort((a, b) => a.localeCompare(b, undefined, {numeric: true}));
  const choose = ({target}) => {
    const wanted = target.value.toLowerCase();
    const found =
      names.find((name) => name === target.value) ?? names.filter((name) => name.toLowerCase().includes(wanted));
    const chosen = typeof found === 'string' ? found : found.length === 1 ? found[0] : run;
    target.value = chosen;
    app.main.focus({preventScroll: true}); // keys are the tab's again
    if (chosen !== run) app.set({run: chosen, adapter: '', step: '', from: '', to: '', alert: ''});
  };
  return h(
    'label',
    {class: 'pick'},
    'Run',
    h('input', {
      id: 'run',
      type: 'search',
      list: 'runs',
      value: run,
      placeholder: run,
      title: `${run} (type to search ${names.length})`,
      onfocus: ({target}) => {
        target.value = ''; // the list has what fits the text: all of them
      },
      onblur: ({target}) => {
        target.value ||= run;
      },
      onchange: choose,
    }),
    h(
      'datalist',
      {id: 'runs'},
      names.map((name) => h('option', {value: name}, endOf(app.runs[name], app.runs[name])?.word)),
    ),
  );
}
