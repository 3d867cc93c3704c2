// Which colour each cell of the heatmap has, and in which groups the adapters stand: plain numbers.

import {num} from './dom.js';

/** [{name, adapters}]: modules of a kind next to each other. */
export function groups(adapters) {
  const found = new Map();
  for (const adapter of adapters) {
    if (!found.has(adapter.type)) found.set(adapter.type, []);
    found.get(adapter.type).push(adapter);
  }
  return [...found].map(([name, members]) => ({name, adapters: members}));
}

/** Where each cell lies on the logarithmic colour scale, NaN for none; and what the ends of the scale mean. */
export function shade({high}) {
  const cells = Float32Array.from(high, Math.log2),
    sample = [];
  let to = -Infinity;
  const stride = Math.max(1, Math.floor(cells.length / 20_000)) | 1;
  cells.forEach((value, k) => {
    if (!Number.isFinite(value)) return;
    to = Math.max(to, value);
    if (k % stride === 0) sample.push(value);
  });
  sample.sort((a, b) => a - b);
  if (to === -Infinity) to = 0;
  // The first steps of a run would take most of the colours.
  const from = Math.min(sample[Math.floor(0.01 * sample.length)] ?? 0, to - 1e-6);
  return {
    cells: cells.map((value) => (value - from) / (to - from)),
    ends: [`≤ ${num(2 ** from)}`, 'log', num(2 ** to)],
  };
}
