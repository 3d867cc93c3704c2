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
  const {columns, n} = matrix,
    grouped = groups(app.adapters, app.state.rows);
  const room = Math.max(300, innerHeight - em(252)),
    gap = grouped.length <= 40 ? 3 : n + grouped.length <= room ? 1 : 0;
  const size = Math.max(1, Math.min(em(30), Math.floor((room - gap * grouped.length) / n)));
  const rows = []; // [{adapter, y}]
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
  const height = y - gap,
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
      `${app.state.metric} of ${n} adapters at ${columns} columns of steps; ` +
      'arrow keys go from cell to cell, Enter opens the adapter',
  });
  paint(canvas, app, matrix, painted, rows, size, ratio);

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
    const {row, column: c, px} = cell(event);
    if (pressed != null && Math.abs(px - pressed) > 4) {
      band.setAttribute('x', Math.min(px, pressed));
      band.setAttribute('width', Math.abs(px - pressed));
      band.style.display = 'block';
    }
    if (!row) return;
    cross.setAttribute('y', row.y - 1);
    down.setAttribute('x', X(c));
    down.setAttribute('width', W(c));
    cross.style.display = down.style.display = 'block';
    const k = c * n + row.adapter.index,
      flag = matrix.flags[k],
      value = matrix.high[k];
    tip.show(
      event,
      h('b', null, row.adapter.name),
      `${matrix.steps(c)}: ${matrix.say(c, row.adapter.index, num) || '–'}`,
      Number.isFinite(value) &&
        middles[row.adapter.index] > 0 &&
        `${num(value / middles[row.adapter.index])} × its median`,
      flag & (NAN | INF) ? h('strong', null, flagWords(flag)) : null,
    );
  });
  const current = rows.find((row) => row.adapter === app.adapter) ?? rows[0];
  const say = () => {
    const {name, index} = current.adapter;
    app.say(`${name}, ${matrix.steps(column)}: ${matrix.say(column, index, num) || 'not measured'}`);
  };
  canvas.addEventListener('focus', say);
  if (document.activeElement?.id === 'heat') say();
  canvas.addEventListener('keydown', (event) => {
    const jump = event.shiftKey ? Math.max(1, Math.round(columns / 20)) : 1;
    const go = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -jump], ArrowRight: [0, jump]}[event.key];
    if (event.key === 'Enter') app.set({view: 'layer', adapter: current.adapter.name});
    if (!go) return;
    event.preventDefault();
    event.stopPropagation();
    const row = rows[(rows.indexOf(current) + go[0] + rows.length) % rows.length],
      last = matrix.last[Math.max(0, Math.min(columns - 1, column + go[1]))];
    const step = !go[1] ? app.state.step : last >= app.lastStep ? '' : last;
    app.set({adapter: row.adapter.name, step});
  });
  canvas.addEventListener('pointerleave', () => {
    cross.style.display = down.style.display = 'none';
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
    const {px, row, column: c} = cell(event),
      from = pressed;
    pressed = null;
    if (from != null && Math.abs(px - from) > 4) {
      const at = (x) => matrix.columnOf(matrix.stepAt(x / plot));
      app.set({from: matrix.first[at(Math.min(px, from))], to: matrix.last[at(Math.max(px, from))]});
    } else if (row) {
      app.set({view: 'layer', adapter: row.adapter.name, step: matrix.last[c] >= app.lastStep ? '' : matrix.last[c]});
    }
  });

  const GUTTER = gutterWidth(app),
    gutter = svg('svg', {class: 'gutter', width: GUTTER - 6, height});
  const every = size >= em(11) && grouped.length < n;
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
  if (every)
    for (const row of rows)
      gutter.append(
        svg(
          'text',
          {x: GUTTER - 12, y: row.y + size / 2 + em(4), 'text-anchor': 'end', class: 'item'},
          app.state.rows === 'type' ? (row.adapter.layer ?? '') : cut(row.adapter.type.replace(/_proj$/, ''), 5),
        ),
      );

  return h(
    'div',
    {class: 'plot', style: `grid-template-columns:${GUTTER - 4}px ${plot}px`},
    h('span', {class: 'strip-name'}, 'loss'),
    strip(app, matrix, loss, plot),
    gutter,
    h('div', {class: 'stage', style: `width:${plot}px;height:${height}px`}, canvas, overlay),
    h('span', {class: 'strip-name'}, 'step'),
    axis(matrix, plot),
  );
}
