// The dialog behind "?": what the quantities mean, which keys there are, and a switch for those of one letter.

import {h} from './dom.js';
import {meaning} from './terms.js';

/**
 * [key, what it does, whether it is of one letter: those can be switched off]
 * @type {[string, string, boolean][]}
 */
const KEYS = [
  ['1 – 5', 'switch the view', true],
  ['← →', 'one step back or on (with Shift: a twentieth of the run)', false],
  ['↑ ↓', 'adapter before or after', false],
  ['[ ]', 'metric before or after', true],
  ['c', 'colour of the heatmap', true],
  ['g', 'grouping of the heatmap', true],
  ['Enter', 'from the heatmap to its adapter', false],
  ['End', 'follow the latest step', false],
  ['drag', 'zoom into the steps of a chart', false],
  ['Esc', 'leave the zoom, close this', false],
  ['?', 'this help', true],
];

/** What a reader of the tab must know first; the others are said where they stand. [name, its key in terms.js] */
const QUANTITIES = [
  ['ΔW', 'ΔW'],
  ['output ratio', 'output_ratio'],
  ['depth-scaled output ratio', 'depth-scaled output ratio'],
  ['p90', 'p90'],
  ['blocks', 'blocks'],
  ['‖ΔW‖', 'delta_norm'],
  ['s', 'scale'],
  ['s · lr', 'effective_lr'],
  ['gain', 'gain'],
  ['zone', 'zone'],
  ['effective rank', 'effective_rank'],
  ['alert', 'alerts'],
];

const SETTING = 'lora_watch.single_keys';

/** Whether keys of one letter act: they get in the way of speech input (WCAG 2.1.4). */
export function singleKeys() {
  try {
    return localStorage.getItem(SETTING) !== 'off';
  } catch {
    return true; // a page without storage
  }
}

function keep(on) {
  try {
    localStorage.setItem(SETTING, on ? 'on' : 'off');
  } catch {
    /* it holds as long as the page */
  }
}

/** The dialog, closed. */
export function help() {
  const list = (rows) =>
    h(
      'dl',
      null,
      rows.map(([name, text]) => [h('dt', null, name), h('dd', null, text)]),
    );
  const dialog = /** @type {HTMLDialogElement} */ (
    h(
      'dialog',
      {id: 'help', 'aria-labelledby': 'help-title'},
      h(
        'header',
        null,
        h('h2', {id: 'help-title'}, 'What it shows'),
        h('button', {id: 'close', class: 'quiet', 'aria-label': 'close', onclick: () => dialog.close()}, '✕'),
      ),
      list(QUANTITIES.map(([name, key]) => [name, meaning(key)])),
      h('h2', null, 'Keys'),
      h(
        'label',
        {class: 'switch'},
        h('input', {
          id: 'single-keys',
          type: 'checkbox',
          checked: singleKeys(),
          onchange: ({target}) => keep(target.checked),
        }),
        ' keys of one letter or digit act (those with a dot)',
      ),
      list(KEYS.map(([key, what, single]) => [key, single ? `${what} ·` : what])),
    )
  );
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close()); // outside of it
  return dialog;
}
