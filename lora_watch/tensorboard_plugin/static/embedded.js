// Answers from the page itself: what a report of one file holds in place of a server. See page/packing.py.

import {INF, Matrix, NAN} from './matrix.js';

/** In a stored flag: there is no finite number; what is there, the other bits say. */
const NONE = 128;

/** @returns {Promise<import('./data.js').Ask>} who answers from the packed text of the page */
export async function embedded(text) {
  const packed = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate'));
  const buffer = await new Response(stream).arrayBuffer();
  const length = new DataView(buffer).getUint32(0, true);
  const {answers, matrices} = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const read = new Map();
  const matrix = (key) => {
    if (!read.has(key)) read.set(key, unpack(new Uint8Array(buffer, 4 + length + matrices[key].at), matrices[key]));
    return read.get(key);
  };
  return async (route, query) => {
    const {run = '', metric, name, at, ...rest} = Object.fromEntries(query),
      asked = Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, Number(value)])),
      key = JSON.stringify([route, run, metric ?? name ?? '']),
      single = JSON.stringify([`${route} at`, run, metric ?? name ?? '']); // where `key` has columns of several steps
    if (at && single in matrices) return matrix(single);
    if (key in matrices) return matrix(key).window(asked);
    if (!(key in answers)) throw new Error(`The report does not hold ${metric ?? name ?? route}.`);
    if (route === 'verdict') return firstBy(answers[key], asked.step ?? Infinity);
    return answers[key];
  };
}

/** `first`: [step, the alert to show first from then on]. */
const firstBy = ({first, ...ending}, step) => ({
  ...ending,
  first: first.findLast(([from]) => from <= step)?.[1] ?? null,
});

/** From planes of bytes, [plane, item, column], to numbers, [column, item]. */
function unpack(bytes, header) {
  const [columns, n] = header.shape,
    cells = columns * n,
    planes = header.pooled ? 2 : 1,
    numbers = Array.from({length: planes}, () => new Float32Array(cells)),
    flags = new Uint8Array(cells),
    word = new Int32Array(1),
    number = new Float32Array(word.buffer);
  const stored = (plane, at) =>
    (bytes[(4 * plane + 3) * cells + at] << 24) |
    (bytes[(4 * plane + 2) * cells + at] << 16) |
    (bytes[(4 * plane + 1) * cells + at] << 8) |
    bytes[4 * plane * cells + at];
  for (let i = 0; i < n; i++) {
    let low = 0;
    for (let c = 0; c < columns; c++) {
      const at = i * columns + c,
        k = c * n + i,
        flag = bytes[4 * planes * cells + at];
      low = (low + stored(0, at)) | 0; // what is stored is the difference from the column before
      flags[k] = flag & ~NONE;
      for (let plane = 0; plane < planes; plane++) {
        word[0] = (plane ? low + stored(1, at) : low) << header.shift;
        numbers[plane][k] = flag & NONE ? (flag & INF && !(flag & NAN) ? Infinity : Number.NaN) : number[0];
      }
    }
  }
  return new Matrix(header, numbers[0], numbers[planes - 1], flags);
}
