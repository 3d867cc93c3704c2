// The heatmap with its names, the alerts and the steps, and the cross that follows the pointer.

import {alertMark, ticks} from './chart.js';
import {em, gestures, h, num, svg, tip} from './dom.js';
import {paint} from './heat_paint.js';
import {flagWords, INF, NAN} from './matrix.js';
import {cut} from './names.js';
import {groups} from './shading.js';

/** Letters that the longest name of a group needs, and the room next to the picture that they take. */
const letters = (app) => Math.max(11, Math.min(22, Math.max(...app.adapters.map(({type}) => type.length))));
export const gutterWidth = (app) => em(108 + 6 * (letters(app) - 11));

/** @param {import('./app.js').App} app */
export function plotOf(app, matrix, painted, plot) {
  const layout = layoutOf(app, matrix);
  const {rows, size, height} = layout,
    ratio = Math.max(1, Math.min(3, devicePixelRatio || 1));
  const canvas = h('canvas', {
    id: 'heat',
    width: Math.round(plot * ratio),
    height: Math.round(height * ratio),
    role: 'img',
    style: `width:${plot}px;height:${height}px`,
    'aria-label': `${app.state.metric} of ${matrix.n} adapters at ${matrix.columns} columns of steps`,
  });
  paint(canvas, app, matrix, painted, rows, size, ratio);
  const marks = marksOn(app, matrix, layout, plot);
  pointing(canvas, app, matrix, rows, marks, plot);
  return h(
    'div',
    {class: 'plot', style: `grid-template-columns:${gutterWidth(app) - 4}px ${plot}px`},
    h('span', {class: 'strip-name'}, 'alerts'),
    strip(app, matrix, plot),
    gutterOf(app, matrix, layout),
    h('div', {class: 'stage', style: `width:${plot}px;height:${height}px`}, canvas, marks.overlay),
    h('span', {class: 'strip-name'}, 'step'),
    axis(matrix, plot),
  );
}

/** Where each adapter's row lies: rows [{adapter, y}], labels of groups [{name, y, height}], the size of a row. */
function layoutOf(app, {n}) {
  const grouped = groups(app.adapters);
  const room = Math.max(300, innerHeight - em(232)),
    gap = grouped.length <= 40 ? 3 : n + grouped.length <= room ? 1 : 0;
  const size = Math.max(1, Math.min(em(30), Math.floor((room - gap * grouped.length) / n)));
  const rows = [];
  const labels = [];
  let y = 0;
  for (const group of grouped) {
    const start = y;
    for (const adapter of group.adapters) {
      rows.push({adapter, y});
      y += size;
    }
    labels.push({name: group.name, y: (start + y) / 2});
    y += gap;
  }
  return {rows, labels, size, height: y - gap};
}

/** Over the picture: the chosen step and adapter, and what follows the pointer. */
function marksOn(app, matrix, {rows, size, height}, plot) {
  const X = (column) => matrix.place(column) * plot,
    W = (column) => Math.max(1.5, X(column + 1) - X(column));
  const overlay = svg('svg', {class: 'overlay', width: plot, height});
  const column = matrix.columnOf(app.step);
  if (app.step >= matrix.first[0])
    overlay.append(svg('rect', {class: 'at', x: X(column) - 0.5, y: 0, width: W(column) + 1, height}));
  const chosen = app.state.adapter && rows.find((row) => row.adapter.name === app.state.adapter);
  if (chosen) overlay.append(svg('rect', {class: 'at', x: 0.5, y: chosen.y - 0.5, width: plot - 1, height: size + 1}));
  const cross = svg('rect', {class: 'cross', height: size + 2, width: plot}),
    down = svg('rect', {class: 'cross', height});
  const band = svg('rect', {class: 'select', y: 0, height});
  overlay.append(cross, down, band);
  const point = (row, c) => {
    cross.setAttribute('y', row.y - 1);
    down.setAttribute('x', X(c));
    down.setAttribute('width', W(c));
    cross.style.display = down.style.display = 'block';
  };
  const leave = () => {
    cross.style.display = down.style.display = 'none';
  };
  return {overlay, band, point, leave};
}

/** A pointer shows the cell below it, a click opens its adapter, and drawing it along zooms in. */
function pointing(canvas, app, matrix, rows, {band, point, leave}, plot) {
  const columnAt = (place) => matrix.columnOf(matrix.stepAt(place / plot)),
    rowAt = (event) => rows.findLast(({y}) => y <= event.clientY - canvas.getBoundingClientRect().top);
  gestures(canvas, band, {
    hover: (event, place) => {
      const row = rowAt(event);
      if (!row) return;
      point(row, columnAt(place));
      tip.show(event, ...cellInWords(matrix, columnAt(place), row.adapter));
    },
    leave,
    zoom: (from, to) => app.set({from: matrix.first[columnAt(from)], to: matrix.last[columnAt(to)]}),
    choose: (event, place) => {
      const adapter = rowAt(event)?.adapter.name,
        last = matrix.last[columnAt(place)];
      if (adapter) app.set({view: 'layer', adapter, step: last >= app.lastStep ? '' : last});
    },
  });
}

function cellInWords(matrix, column, {name, index}) {
  const flag = matrix.flags[column * matrix.n + index];
  return [
    h('b', null, name),
    `${matrix.steps(column)}: ${matrix.say(column, index, num) || '–'}`,
    flag & (NAN | INF) ? h('strong', null, flagWords(flag)) : null,
  ];
}

/** The names of groups, and of single rows where there is room. */
function gutterOf(app, {n}, {rows, labels, size, height}) {
  const GUTTER = gutterWidth(app),
    gutter = svg('svg', {class: 'gutter', width: GUTTER - 6, height});
  const every = size >= em(11) && labels.length < n;
  let free = -99;
  for (const label of labels) {
    if (label.y - free < em(12)) continue;
    free = label.y;
    gutter.append(
      svg(
        'text',
        {x: every ? GUTTER - em(36) : GUTTER - 12, y: label.y + em(4), 'text-anchor': 'end', class: 'group'},
        cut(label.name, letters(app) + (every ? 0 : 4)),
        svg('title', null, label.name),
      ),
    );
  }
  for (const {adapter, y} of every ? rows : [])
    gutter.append(
      svg('text', {x: GUTTER - 12, y: y + size / 2 + em(4), 'text-anchor': 'end', class: 'item'}, adapter.layer ?? ''),
    );
  return gutter;
}

/**
 * The alerts, above the steps at which they opened.
 * @param {import('./app.js').App} app
 */
function strip(app, matrix, plot) {
  const height = 20,
    root = svg('svg', {class: 'strip', width: plot, height});
  for (const alert of app.alerts) {
    if (alert.step < matrix.first[0] || alert.step > matrix.end) continue;
    const c = matrix.columnOf(alert.step),
      x = ((matrix.place(c) + matrix.place(c + 1)) / 2) * plot;
    root.append(alertMark(alert, Math.max(7, x), height, () => app.openAlert(alert)));
  }
  return root;
}

/** The steps under it. */
function axis(matrix, plot) {
  const root = svg('svg', {class: 'axis', width: plot, height: em(18)}),
    X = (step) => ((step - matrix.first[0] + 0.5) / (matrix.stepAt(1) - matrix.first[0] + 1)) * plot;
  for (const step of ticks(matrix.first[0], matrix.end, plot / em(70)).filter(Number.isInteger)) {
    const x = X(step);
    root.append(svg('text', {x, y: em(14), 'text-anchor': x < 12 ? 'start' : x > plot - 14 ? 'end' : 'middle'}, step));
  }
  return root;
}
