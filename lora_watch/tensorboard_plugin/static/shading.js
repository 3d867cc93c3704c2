// Which colour each cell of the heatmap has, and in which groups the adapters stand: plain numbers.

import {num} from './dom.js';

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
