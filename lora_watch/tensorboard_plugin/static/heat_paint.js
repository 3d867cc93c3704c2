// The pixels of the heatmap.

import {COLOURS} from './colours.js';
import {INF, NAN, UNKNOWN} from './matrix.js';

const BROKEN = '#ff00a8';

/** Every cell, then what was not measured, and on top what is not finite. */
export function paint(canvas, app, matrix, painted, rows, size, ratio) {
  const {columns, n} = matrix;
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
          COLOURS[Math.max(0, Math.min(255, (place * 255) | 0))],
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
