// The keys of the tab.

import {COLOURS, ROWS} from './heatmap.js';
import {singleKeys} from './help.js';
import {VIEWS} from './views.js';

/** @typedef {import('./app.js').App} App */

/**
 * What a key does, wherever the focus is.
 * @param {App} app
 */
export function press(app, event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !app.shown) return;
  if (app.help.open) return; // its own Escape closes it
  if (event.target.matches?.('input[type=search], select, input[type=text]')) return;
  if (event.key.length === 1 && !singleKeys()) return;
  if (event.target.id === 'scrub' && event.key.startsWith('Arrow')) return;
  const move = (list, now, by) => list[(list.indexOf(now) + by + list.length) % list.length];
  const jump = event.shiftKey ? Math.max(1, Math.round(app.lastStep / 20)) : 1;
  const names = app.adapters.map((adapter) => adapter.name);
  const act =
    {
      ArrowLeft: () => app.setStep(app.step - jump),
      ArrowRight: () => app.setStep(app.step + jump),
      ArrowUp: () => app.set({adapter: move(names, app.adapter?.name, -1)}),
      ArrowDown: () => app.set({adapter: move(names, app.adapter?.name, 1)}),
      '[': () => app.set({metric: move(app.run.metrics, app.state.metric, -1)}),
      ']': () => app.set({metric: move(app.run.metrics, app.state.metric, 1)}),
      c: () => app.set({colour: move(Object.keys(COLOURS), app.state.colour, 1)}),
      g: () => app.set({rows: move(Object.keys(ROWS), app.state.rows, 1)}),
      End: () => app.set({step: ''}),
      Escape: () => app.set({from: '', to: ''}),
      '?': () => app.help.showModal(),
    }[event.key] ??
    (event.key in {1: 0, 2: 0, 3: 0, 4: 0, 5: 0} ? () => app.set({view: Object.keys(VIEWS)[event.key - 1]}) : null);
  if (
    !act ||
    (['ArrowUp', 'ArrowDown'].includes(event.key) && ['alerts', 'overview', 'compare'].includes(app.state.view))
  )
    return;
  event.preventDefault();
  act();
}
