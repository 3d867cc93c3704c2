import assert from 'node:assert/strict';
import {test} from 'node:test';

import {heldFor} from '../../lora_watch/tensorboard_plugin/static/alert_detail.js';
import {shade} from '../../lora_watch/tensorboard_plugin/static/shading.js';

test('the scale of the colours ends at the largest value', () => {
  const values = Float32Array.from({length: 1000}, (_, i) => (i === 999 ? 5 : 0.1 + i / 10_000));
  const matrix = {columns: 1000, n: 1, low: values, high: values};
  const {ends, cells} = shade(matrix, 'absolute', []);
  assert.equal(ends[2], '5');
  assert.equal(cells[999], 1);
});

test('alerts are sorted by how long they held, and the open ones last', () => {
  const short = {step: 90, last_step: 91, closed_step: 95},
    long = {step: 1, last_step: 50, closed_step: 51},
    open = {step: 99, last_step: 99, closed_step: null};
  const sorted = [open, long, short].sort((a, b) => (heldFor(a) < heldFor(b) ? -1 : 1));
  assert.deepEqual(sorted, [short, long, open]);
});
