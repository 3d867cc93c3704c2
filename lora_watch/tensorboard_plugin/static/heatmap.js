// Every adapter at every step, for one metric. One row an adapter; a column lasts until the next one was logged.

import {ticks} from './chart.js';
import {gradient, table} from './colours.js';
import {em, h, num, pressable, severityClass, severityShape, svg, term, tip, words} from './dom.js';
import {csvOf, exportButtons} from './export.js';
import {flagWords, INF, NAN, UNKNOWN} from './matrix.js';
import {cut} from './names.js';

export const title = 'Heatmap';
export const COLOURS = {
  absolute: 'value',
  relative: 'relative to its own median',
  rank: 'rank among adapters',
};
export const ROWS = {type: 'by module', depth: 'by depth'};
const BROKEN = '#ff00a8';
const side = () => em(268);
/** Letters that the longest name of a group needs, and the room next to the picture that they take. */
const letters = (app) => Math.max(11, Math.min(22, Math.max(...app.adapters.map(({type}) => type.length))));
const gutterWidth = (app) => em(108 + 6 * (letters(app) - 11));

/** [{name, adapters}], in the order in which they are drawn. */
export function groups(adapters, by) {
  const found = new Map();
  for (const adapter of adapters) {
    const key = by === 'type' ? adapter.type : adapter.layer == null ? '–' : `layer ${adapter.layer}`;
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(adapter);
  }
  return [...found].map(([name, members]) => ({name, adapters: members}));
}

/** Median over time of each adapter: [n], of the columns' middles that are finite and above zero. */
export function medians(matrix) {
  const out = new Float64Array(matrix.n),
    seen = [];
  const lasts = Array.from({length: matrix.columns}, (_, c) => matrix.place(c + 1) - matrix.place(c));
  for (let i = 0; i < matrix.n; i++) {
    seen.length = 0;
    let total = 0;
    for (let c = 0; c < matrix.columns; c++) {
      const k = c * matrix.n + i,
        value = (matrix.low[k] + matrix.high[k]) / 2;
      if (!(value > 0 && value < Infinity)) continue;
      seen.push([value, lasts[c]]); // a number counts for as long as it lasts: what is logged rarely is not rare
      total += lasts[c];
    }
    seen.sort((a, b) => a[0] - b[0]);
    let left = total / 2,
      at = 0;
    while (at < seen.length - 1 && left > seen[at][1]) left -= seen[at++][1];
    out[i] = seen.length ? seen[at][0] : NaN;
  }
  return out;
}

/** Where each cell lies on the colour scale, NaN for none; and what the ends of the scale mean. */
export function shade(matrix, kind, middles) {
  const {columns, n, low, high} = matrix,
    out = new Float32Array(columns * n);
  if (kind === 'rank') {
    const order = new Uint32Array(n);
    for (let c = 0; c < columns; c++) {
      const base = c * n;
      let known = 0;
      for (let i = 0; i < n; i++) {
        if (Number.isFinite(high[base + i])) order[known++] = i;
        else out[base + i] = NaN;
      }
      order.subarray(0, known).sort((a, b) => high[base + a] - high[base + b]);
      for (let place = 0; place < known; place++) out[base + order[place]] = known > 1 ? place / (known - 1) : 0.5;
    }
    return {cells: out, ends: ['lowest', '', 'highest'], scale: 'sequential'};
  }
  for (let i = 0; i < n; i++) {
    const middle = (kind === 'relative' && Math.log2(middles[i])) || 0; // has none if it is zero throughout
    for (let k = i; k < out.length; k += n) {
      const up = Math.log2(high[k]) - middle;
      if (kind === 'absolute' || low[k] === high[k]) {
        out[k] = up;
        continue;
      }
      const down = Math.log2(low[k]) - middle; // of a column of several steps, what is farthest from the middle
      out[k] = Math.abs(down) > Math.abs(up) ? down : up;
    }
  }
  const sample = [];
  const stride = Math.max(1, Math.floor(out.length / 20_000)) | 1;
  for (let k = 0; k < out.length; k += stride)
    if (Number.isFinite(out[k])) sample.push(kind === 'relative' ? Math.abs(out[k]) : out[k]);
  sample.sort((a, b) => a - b);
  const part = (share) => sample[Math.min(sample.length - 1, Math.floor(share * sample.length))] ?? 0;
  if (kind === 'relative') {
    const spread = part(0.88),
      reach = spread < 0.5 ? 0.5 : Math.min(3, Math.ceil(spread));
    for (let k = 0; k < out.length; k++) out[k] = out[k] / (2 * reach) + 0.5;
    const factor = num(2 ** reach);
    return {cells: out, ends: [`÷ ${factor}`, 'its median', `× ${factor}`], scale: 'diverging'};
  }
  let to = sample.at(-1) ?? 0;
  for (const value of out) if (value > to && value < Infinity) to = value;
  const from = Math.min(part(0.01), to - 1e-6); // the first steps of a run would take most of the colours
  for (let k = 0; k < out.length; k++) out[k] = (out[k] - from) / (to - from);
  return {cells: out, ends: [`≤ ${num(2 ** from)}`, 'log', num(2 ** to)], scale: 'sequential'};
}

/** @param {import('./app.js').App} app */
export async function draw(app) {
  const {state, adapters} = app;
  const controls = toolbar(app);
  if (!adapters.length || !state.metric) return h('p', {class: 'empty-page'}, 'This run has no adapters.');
  const wide = app.width > 3 * side(), // else what stands out comes below
    width = app.width - (wide ? side() + 16 : 0) - 28,
    plot = width - gutterWidth(app) - 4;
  const max_cols = Math.max(50, Math.floor(plot / 50) * 50);
  const zoomed = state.from !== '' || state.to !== '';
  const whole = await app.metric(state.metric, {max_cols});
  const [matrix, loss] = await Promise.all([
    zoomed ? app.metric(state.metric, {max_cols, from: state.from, to: state.to}) : whole,
    app.series('loss', {max_cols: 2000}),
  ]);
  app.notes = [...new Set([...app.notes, ...matrix.notes])];
  if (!matrix.columns)
    return h('div', null, controls, h('p', {class: 'empty-page'}, 'No step of this metric lies in the chosen range.'));
  if (app.data.prefetched !== state.run) prefetch(app, max_cols);

  whole.until = app.lastStep; // a metric that is measured now and then is still what it was
  matrix.until = Math.min(app.lastStep, state.to === '' ? Infinity : Number(state.to));
  const middles = memo(whole, 'middles', () => medians(whole));
  const painted = memo(matrix, `${state.colour}`, () => shade(matrix, state.colour, middles));
  const heat = plotOf(app, matrix, loss, painted, middles, plot);
  return h(
    'div',
    {class: 'heat'},
    controls,
    h(
      'div',
      {class: 'columns', style: `grid-template-columns:minmax(0,1fr)${wide ? ` ${side()}px` : ''}`},
      h('section', {class: 'card'}, legendOf(app, matrix, painted), heat),
      h(
        'section',
        {class: 'card side'},
        h('header', null, h('h2', null, term(`Stand out at ${matrix.steps(matrix.columnOf(app.step))}`, 'Stand out'))),
        standOut(app, matrix, middles),
      ),
    ),
  );
}

/** @param {import('./app.js').App} app */
function toolbar(app) {
  const {state, run} = app;
  const segment = (key, options) =>
    h(
      'div',
      {class: 'segment', role: 'group', 'aria-label': key},
      Object.entries(options).map(([value, name]) =>
        h(
          'button',
          {id: `${key}-${value}`, 'aria-pressed': String(state[key] === value), onclick: () => app.set({[key]: value})},
          name,
        ),
      ),
    );
  return h(
    'div',
    {class: 'toolbar'},
    h(
      'span',
      {class: 'pick'},
      term('Metric', state.metric),
      h(
        'select',
        {id: 'metric', 'aria-label': 'metric', onchange: (event) => app.set({metric: event.target.value})},
        run.metrics.map((name) => h('option', {value: name, selected: name === state.metric}, name)),
      ),
    ),
    h('span', {class: 'pick'}, term('Colour'), segment('colour', COLOURS)),
    h('span', {class: 'pick'}, term('Rows'), segment('rows', ROWS)),
    h('span', {class: 'note'}, 'drag to zoom, click for the adapter'),
  );
}

/** @param {import('./app.js').App} app */
function legendOf(app, matrix, painted) {
  return h(
    'div',
    {class: 'scale'},
    h(
      'span',
      {class: 'bar'},
      h('i', {style: `background:${gradient(painted.scale, app.dark)}`}),
      h(
        'span',
        null,
        painted.ends.map((end) => h('span', null, end)),
      ),
    ),
    h('span', {class: 'key'}, h('i', {class: 'nan'}), 'NaN or Inf'),
    h('span', {class: 'key'}, h('i', {class: 'hatched'}), 'not measured'),
    h('span', {class: 'grow'}),
    exportButtons(app.state.metric, () => csvOf(app.adapters.map(({name, index}) => ({name, matrix, column: index})))),
    h(
      'span',
      {class: 'note'},
      matrix.pooled
        ? `${matrix.rows} steps in ${matrix.columns} columns; extremes and NaN kept`
        : `${matrix.rows} ${matrix.rows === 1 ? 'step was' : 'steps were'} logged`,
    ),
  );
}

/** @param {import('./app.js').App} app */
function plotOf(app, matrix, loss, painted, middles, plot) {
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

function paint(canvas, app, matrix, painted, rows, size, ratio) {
  const {columns, n} = matrix,
    colours = table(painted.scale, app.dark);
  const across = canvas.width,
    image = new ImageData(across, n),
    pixels = new Uint32Array(image.data.buffer);
  const edges = Array.from({length: columns + 1}, (_, c) => Math.round(matrix.place(c) * across));
  rows.forEach(({adapter}, row) => {
    for (let c = 0; c < columns; c++) {
      const place = painted.cells[c * n + adapter.index];
      // log2(0) is −∞: a true zero has the lowest colour. No number at all leaves the cell empty.
      if (!Number.isNaN(place))
        pixels.fill(
          colours[Math.max(0, Math.min(255, (place * 255) | 0))],
          row * across + edges[c],
          row * across + edges[c + 1],
        );
    }
  });
  const source = new OffscreenCanvas(across, n);
  brush(source).putImageData(image, 0, 0);
  const paper = brush(canvas);
  paper.imageSmoothingEnabled = false;
  paper.scale(ratio, ratio);
  const wide = across / ratio,
    X = (column) => matrix.place(column) * wide;
  let start = 0; // rows without a gap between them are one stroke
  for (let row = 1; row <= rows.length; row++) {
    if (row < rows.length && rows[row].y === rows[row - 1].y + size) continue;
    paper.drawImage(source, 0, start, across, row - start, 0, rows[start].y, wide, (row - start) * size);
    start = row;
  }
  const hatch = /** @type {CanvasPattern} */ (
    paper.createPattern(tile(...(app.dark ? ['#2b2f37', '#4b515c'] : ['#eceef1', '#c3c8d0']), 6), 'repeat')
  );
  rows.forEach(({adapter, y}) => {
    runs(matrix, adapter.index, UNKNOWN, (from, to) => {
      paper.fillStyle = hatch;
      paper.fillRect(X(from), y, X(to) - X(from), size);
    });
  });
  const stripes = /** @type {CanvasPattern} */ (paper.createPattern(tile(null, '#fff', 8), 'repeat'));
  // Last and on top, and never smaller than the eye can find.
  rows.forEach(({adapter, y}) => {
    runs(matrix, adapter.index, NAN | INF, (from, to) => {
      const length = X(to) - X(from),
        w = Math.round(Math.max(7, length)),
        tall = Math.max(7, size);
      const left = Math.round(Math.max(0, Math.min(wide - w, (X(from) + X(to)) / 2 - w / 2))),
        top = Math.round(y + size / 2 - tall / 2);
      const small = size < 7 || length < 7; // has a frame; the others have stripes, for who does not see the colour
      paper.fillStyle = '#fff';
      if (small) paper.fillRect(left - 1.5, top - 1.5, w + 3, tall + 3);
      for (paper.fillStyle of small ? [BROKEN] : [BROKEN, stripes]) paper.fillRect(left, top, w, tall);
    });
  });
}

/** @returns {CanvasRenderingContext2D} */
const brush = (canvas) => canvas.getContext('2d');

/** Calls back with [from, to) for every stretch of columns in which item `i` has one of the flags. */
function runs(matrix, i, mask, found) {
  let from = -1;
  for (let c = 0; c <= matrix.columns; c++) {
    const has = c < matrix.columns && matrix.flags[c * matrix.n + i] & mask;
    if (has && from < 0) from = c;
    if (!has && from >= 0) {
      found(from, c);
      from = -1;
    }
  }
}

/** Diagonal lines, to be repeated; on nothing where there is no ground. */
function tile(ground, line, size) {
  const canvas = new OffscreenCanvas(size, size),
    paper = brush(canvas);
  if (ground) {
    paper.fillStyle = ground;
    paper.fillRect(0, 0, size, size);
  }
  paper.strokeStyle = line;
  paper.beginPath();
  for (const shift of [-size, 0, size]) {
    paper.moveTo(shift, size);
    paper.lineTo(shift + size, 0);
  }
  paper.stroke();
  return canvas;
}

/** Where the middle of a step lies on the axis. */
const middleOf = (matrix, plot) => (step) =>
  ((step - matrix.first[0] + 0.5) / (matrix.stepAt(1) - matrix.first[0] + 1)) * plot;

/**
 * The loss over the same steps, with the alerts on it.
 * @param {import('./app.js').App} app
 */
function strip(app, matrix, loss, plot) {
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
      d += `${pen ? 'L' : 'M'}${X(step).toFixed(1)} ${Y(most)}${least < most ? `V${Y(least)}` : ''}`;
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

function axis(matrix, plot) {
  const root = svg('svg', {class: 'axis', width: plot, height: em(18)}),
    X = middleOf(matrix, plot);
  for (const step of ticks(matrix.first[0], matrix.end, plot / em(70)).filter(Number.isInteger)) {
    const x = X(step);
    root.append(svg('text', {x, y: em(14), 'text-anchor': x < 12 ? 'start' : x > plot - 14 ? 'end' : 'middle'}, step));
  }
  return root;
}

/** An adapter stands out that is this far from its own median, and from where most are from theirs, as a factor. */
const APART = 1.5;

/**
 * The adapters that have left the others: farther from their own median than most are at the step; broken ones first.
 * @param {import('./app.js').App} app
 */
function standOut(app, matrix, middles) {
  if (app.step < matrix.first[0]) return h('p', {class: 'none'}, 'Nothing was measured up to this step.');
  const base = matrix.columnOf(app.step) * matrix.n;
  const found = app.adapters
    .map((adapter) => {
      const k = base + adapter.index,
        broken = matrix.flags[k] & (NAN | INF);
      return {
        adapter,
        value: matrix.high[k],
        broken,
        far: broken ? Infinity : matrix.high[k] === 0 ? -Infinity : Math.log2(matrix.high[k] / middles[adapter.index]),
      };
    })
    .filter(({far}) => !Number.isNaN(far))
    .sort((a, b) => a.far - b.far);
  if (!found.some(({value}) => value !== 0))
    return h('p', {class: 'none'}, found.length ? 'Nothing is above zero at this step.' : 'Not measured at this step.');
  const usual = found[found.length >> 1].far,
    away = ({far}) => Math.min(Math.abs(far), Number.isFinite(usual) ? Math.abs(far - usual) : Infinity);
  const apart = found
    .filter((one) => away(one) >= Math.log2(APART))
    .sort((a, b) => away(b) - away(a) || b.value - a.value);
  if (!apart.length) return h('p', {class: 'none'}, `None: most are at ${times(usual)} their own median.`);
  return h(
    'ol',
    {class: 'standout'},
    apart
      .slice(0, Math.max(6, Math.floor((innerHeight - em(200)) / em(27))))
      .map(({adapter, value, broken, far}) =>
        h(
          'li',
          null,
          h(
            'button',
            {class: 'row', title: adapter.name, onclick: () => app.set({view: 'layer', adapter: adapter.name})},
            h('span', {class: 'clip'}, adapter.short),
            h('b', null, broken ? flagWords(broken) : num(value)),
            h('small', {class: broken ? 'broken' : null}, broken ? '' : Number.isFinite(far) ? times(far) : '0'),
          ),
        ),
      ),
  );
}

const times = (octaves) => `${octaves < 0 ? '÷' : '×'} ${num(2 ** Math.abs(octaves))}`;

/**
 * Fetches the other metrics when the first has been drawn, one after the other, so that a switch need not wait.
 * @param {import('./app.js').App} app
 */
async function prefetch(app, max_cols) {
  const {run} = app.state;
  app.data.prefetched = run;
  for (const metric of app.run.metrics) {
    if (app.state.run !== run) return;
    await app.data.metric(run, metric, {max_cols}).catch(() => {});
  }
}

const memory = new WeakMap();
/** `make()`, made once for each matrix and key. */
function memo(matrix, key, make) {
  if (!memory.has(matrix)) memory.set(matrix, new Map());
  const kept = memory.get(matrix);
  if (!kept.has(key)) kept.set(key, make());
  return kept.get(key);
}
