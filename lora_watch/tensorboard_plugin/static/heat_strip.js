// What stands above and below the heatmap: the loss with the alerts on it, and the steps.

import {ticks} from './chart.js';
import {em, h, pressable, severityClass, severityShape, svg, tip, words} from './dom.js';

/** Where the middle of a step lies on the axis. */
const middleOf = (matrix, plot) => (step) =>
  ((step - matrix.first[0] + 0.5) / (matrix.stepAt(1) - matrix.first[0] + 1)) * plot;

/**
 * The loss over the same steps, with the alerts on it.
 * @param {import('./app.js').App} app
 */
export function strip(app, matrix, loss, plot) {
  const height = 44,
    root = svg('svg', {class: 'strip', width: plot, height});
  const X = middleOf(matrix, plot);
  if (loss?.columns) {
    // at its own steps, which may be more than the metric's
    const seen = Array.from({length: loss.columns}, (_, c) => [
      (loss.first[c] + loss.last[c]) / 2,
      loss.low[c],
      loss.high[c],
    ]).filter(([step]) => step >= matrix.first[0] && step <= matrix.stepAt(1));
    const finite = seen.flatMap(([, ...ends]) => ends).filter(Number.isFinite),
      low = Math.min(...finite),
      high = Math.max(...finite);
    const Y = (value) => (height - 3 - ((value - low) / (high - low || 1)) * (height - 19)).toFixed(1);
    let d = '',
      pen = false;
    for (const [step, least, most] of seen) {
      if (!Number.isFinite(most)) {
        pen = false;
        continue;
      }
      const between = Y((least + most) / 2);
      d += `${pen ? 'L' : 'M'}${X(step).toFixed(1)} ${between}`;
      if (least < most) d += `V${Y(most)}V${Y(least)}V${between}`;
      pen = true;
    }
    root.append(svg('path', {d, class: 'line', style: 'stroke:var(--soft)'}));
  }
  for (const alert of app.alerts) {
    if (alert.step < matrix.first[0] || alert.step > matrix.end) continue;
    const c = matrix.columnOf(alert.step),
      x = ((matrix.place(c) + matrix.place(c + 1)) / 2) * plot;
    root.append(
      svg(
        'g',
        {
          class: `mark severity ${severityClass(alert.severity)}`,
          transform: `translate(${Math.max(7, x)},8)`,
          'aria-label': `${alert.name} at step ${alert.step}`,
          ...pressable(() => app.openAlert(alert)),
          onpointermove: (event) =>
            tip.show(event, h('b', null, words(alert.name)), `step ${alert.step}`, alert.message),
          onpointerleave: () => tip.hide(),
        },
        svg('path', {d: `M0 6V${height}`, class: 'stem'}),
        svg('path', {d: severityShape(alert.severity)}),
      ),
    );
  }
  return root;
}

/** The steps under it. */
export function axis(matrix, plot) {
  const root = svg('svg', {class: 'axis', width: plot, height: em(18)}),
    X = middleOf(matrix, plot);
  for (const step of ticks(matrix.first[0], matrix.end, plot / em(70)).filter(Number.isInteger)) {
    const x = X(step);
    root.append(svg('text', {x, y: em(14), 'text-anchor': x < 12 ? 'start' : x > plot - 14 ? 'end' : 'middle'}, step));
  }
  return root;
}
