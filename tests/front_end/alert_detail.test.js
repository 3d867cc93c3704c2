import assert from 'node:assert/strict';
import {test} from 'node:test';

import {sets} from '../../lora_watch/tensorboard_plugin/static/alert_detail.js';

test('a remedy is known by its numbers, however they are written', () => {
  const both = 'lora_alpha 64 → 16 (scale 8 → 2) and learning rate 0.01 → 1e-05 (5e-06 to 2e-05)';
  assert.ok(sets(both, [16, 0.00001]));
  assert.ok(!sets(both, [16, 0.00002]), 'what stands in brackets is a range');
  assert.ok(sets('max_grad_norm=0.3, so that one batch cannot move the adapter far', [0.3]));
  assert.ok(!sets('look at the batch of this step', [0.3]));
});
