import assert from 'node:assert/strict';
import {test} from 'node:test';

import {shade} from '../../lora_watch/tensorboard_plugin/static/shading.js';

test('the scale of the colours ends at the largest value', () => {
  const high = Float32Array.from({length: 1000}, (_, i) => (i === 999 ? 5 : 0.1 + i / 10_000));
  const {ends, cells} = shade({high});
  assert.equal(ends[2], '5');
  assert.equal(cells[999], 1);
});
