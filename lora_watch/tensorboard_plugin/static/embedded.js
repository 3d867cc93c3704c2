// Answers from the page itself: what a report of one file holds in place of a server. See page/answers.py.

import {Matrix} from './matrix.js';

/** @returns {Promise<import('./data.js').Ask>} who answers from the packed text of the page */
export async function embedded(text) {
  const packed = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate'));
  const buffer = await new Response(stream).arrayBuffer();
  const length = new DataView(buffer).getUint32(0, true);
  const {answers, tables} = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const read = new Map();
  const matrix = (key) => {
    const [at, size] = tables[key];
    if (!read.has(key)) read.set(key, Matrix.parse(buffer.slice(4 + length + at, 4 + length + at + size)));
    return read.get(key);
  };
  return async (route, query) => {
    const {run = '', metric, name, at, ...rest} = Object.fromEntries(query),
      asked = Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, Number(value)])),
      key = JSON.stringify([route, run, metric ?? name ?? '']),
      single = JSON.stringify([`${route} at`, run, metric ?? name ?? '']); // where `key` has columns of several steps
    if (at && single in tables) return matrix(single);
    if (key in tables) return matrix(key).window(asked);
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
