import assert from 'node:assert/strict';
import {test} from 'node:test';

import {inOrder} from '../../lora_watch/tensorboard_plugin/static/alerts.js';
import {shade} from '../../lora_watch/tensorboard_plugin/static/shading.js';

test('the scale of the colours ends at the largest value', () => {
  const high = Float32Array.from({length: 1000}, (_, i) => (i === 999 ? 5 : 0.1 + i / 10_000));
  const {ends, cells} = shade({high});
  assert.equal(ends[2], '5');
  assert.equal(cells[999], 1);
});

test('the worst alert comes first, then the earliest', () => {
  const alerts = ['INFO', 'WARNING', 'ERROR', 'ERROR'].map((severity, i) => ({severity, step: 9 - i}));
  assert.deepEqual(
    inOrder(alerts).map(({step}) => step),
    [6, 7, 8, 9],
  );
});
