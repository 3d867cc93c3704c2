// The heatmap with its names, the cross that follows the pointer, and the keys.

import {em, h, num, svg, tip} from './dom.js';
import {paint} from './heat_paint.js';
import {axis, strip} from './heat_strip.js';
import {flagWords, INF, NAN} from './matrix.js';
import {cut} from './names.js';
import {groups} from './shading.js';

/** Letters that the longest name of a group needs, and the room next to the picture that they take. */
const letters = (app) => Math.max(11, Math.min(22, Math.max(...app.adapters.map(({type}) => type.length))));
export const gutterWidth = (app) => em(108 + 6 * (letters(app) - 11));

/** @param {import('./app.js').App} app */
export function plotOf(app, matrix, loss, painted, middles, plot) {
  const layout = layoutOf(app, matrix);
  const {rows, size, height} = layout,
    ratio = Math.max(1, Math.min(3, devicePixelRatio || 1));
  const canvas = h('canvas', {
    id: 'heat',
    width: Math.round(plot * ratio),
    height: Math.round(height * ratio),
    tabindex: 0,
    role: 'application', // arrow keys are its own
    'aria-roledescription': 'heatmap',
    style: `width:${plot}px;height:${height}px`,
    'aria-label':
      `${app.state.metric} of ${matrix.n} adapters at ${matrix.columns} columns of steps; ` +
      'arrow keys go from cell to cell, Enter opens the adapter',
  });
  paint(canvas, app, matrix, painted, rows, size, ratio);
  const marks = marksOn(app, matrix, layout, plot);
  pointing(canvas, app, matrix, rows, marks, middles, plot);
  walking(canvas, app, matrix, rows);
  return h(
    'div',
    {class: 'plot', style: `grid-template-columns:${gutterWidth(app) - 4}px ${plot}px`},
    h('span', {class: 'strip-name'}, 'loss'),
    strip(app, matrix, loss, plot),
    gutterOf(app, matrix, layout),
    h('div', {class: 'stage', style: `width:${plot}px;height:${height}px`}, canvas, marks.overlay),
    h('span', {class: 'strip-name'}, 'step'),
    axis(matrix, plot),
  );
}

/** Where each adapter's row lies: rows [{adapter, y}], labels of groups [{name, y, height}], the size of a row. */
function layoutOf(app, {n}) {
  const grouped = groups(app.adapters, app.state.rows);
  const room = Math.max(300, innerHeight - em(252)),
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
    labels.push({name: group.name, y: (start + y) / 2, height: y - start});
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
  const select = (from, to) => {
    band.setAttribute('x', Math.min(from, to));
    band.setAttribute('width', Math.abs(from - to));
    band.style.display = 'block';
  };
  const point = (row, c) => {
    cross.setAttribute('y', row.y - 1);
    down.setAttribute('x', X(c));
    down.setAttribute('width', W(c));
    cross.style.display = down.style.display = 'block';
  };
  const leave = () => {
    cross.style.display = down.style.display = 'none';
  };
  return {overlay, select, point, leave};
}

/** A pointer shows the cell below it, a click opens its adapter, and drawing it along zooms in. */
function pointing(canvas, app, matrix, rows, marks, middles, plot) {
  const cell = (event) => {
    const box = canvas.getBoundingClientRect();
    const px = event.clientX - box.left,
      py = event.clientY - box.top;
    const row = rows.findLast((found) => found.y <= py);
    return {px, row, column: matrix.columnOf(matrix.stepAt(px / plot))};
  };
  /** @type {number | null} */
  let pressed = null;
  canvas.addEventListener('pointermove', (event) => {
    const {row, column, px} = cell(event);
    if (pressed != null && Math.abs(px - pressed) > 4) marks.select(px, pressed);
    if (!row) return;
    marks.point(row, column);
    tip.show(event, ...cellInWords(matrix, column, row.adapter, middles[row.adapter.index]));
  });
  canvas.addEventListener('pointerleave', () => {
    marks.leave();
    tip.hide();
  });
  canvas.addEventListener('pointerdown', (event) => {
    pressed = cell(event).px;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener('pointercancel', () => {
    pressed = null;
  });
  canvas.addEventListener('pointerup', (event) => {
    const {px, row, column} = cell(event),
      from = pressed;
    pressed = null;
    if (from != null && Math.abs(px - from) > 4) {
      const at = (x) => matrix.columnOf(matrix.stepAt(x / plot));
      app.set({from: matrix.first[at(Math.min(px, from))], to: matrix.last[at(Math.max(px, from))]});
    } else if (row) {
      const last = matrix.last[column];
      app.set({view: 'layer', adapter: row.adapter.name, step: last >= app.lastStep ? '' : last});
    }
  });
}

function cellInWords(matrix, column, {name, index}, median) {
  const k = column * matrix.n + index,
    flag = matrix.flags[k],
    value = matrix.high[k];
  return [
    h('b', null, name),
    `${matrix.steps(column)}: ${matrix.say(column, index, num) || '–'}`,
    Number.isFinite(value) && median > 0 && `${num(value / median)} × its median`,
    flag & (NAN | INF) ? h('strong', null, flagWords(flag)) : null,
  ];
}

/** Arrow keys go from cell to cell, and Enter opens the adapter. */
function walking(canvas, app, matrix, rows) {
  const column = matrix.columnOf(app.step);
  const current = rows.find((row) => row.adapter === app.adapter) ?? rows[0];
  const say = () => {
    const {name, index} = current.adapter;
    app.say(`${name}, ${matrix.steps(column)}: ${matrix.say(column, index, num) || 'not measured'}`);
  };
  canvas.addEventListener('focus', say);
  if (document.activeElement?.id === 'heat') say();
  canvas.addEventListener('keydown', (event) => {
    const jump = event.shiftKey ? Math.max(1, Math.round(matrix.columns / 20)) : 1;
    const go = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -jump], ArrowRight: [0, jump]}[event.key];
    if (event.key === 'Enter') app.set({view: 'layer', adapter: current.adapter.name});
    if (!go) return;
    event.preventDefault();
    event.stopPropagation();
    const row = rows[(rows.indexOf(current) + go[0] + rows.length) % rows.length],
      last = matrix.last[Math.max(0, Math.min(matrix.columns - 1, column + go[1]))];
    const step = !go[1] ? app.state.step : last >= app.lastStep ? '' : last;
    app.set({adapter: row.adapter.name, step});
  });
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
  for (const row of every ? rows : [])
    gutter.append(
      svg(
        'text',
        {x: GUTTER - 12, y: row.y + size / 2 + em(4), 'text-anchor': 'end', class: 'item'},
        app.state.rows === 'type' ? (row.adapter.layer ?? '') : cut(row.adapter.type.replace(/_proj$/, ''), 5),
      ),
    );
  return gutter;
}
