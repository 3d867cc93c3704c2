import assert from 'node:assert/strict';
import {test} from 'node:test';

import {discarded, logTicks, ticks} from '../../lora_watch/tensorboard_plugin/static/chart.js';

test('ticks are round and lie within the range', () => {
  assert.deepEqual(ticks(0, 1, 5), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assert.deepEqual(ticks(-0.13, 0.21, 3), [0, 0.2]);
  assert.deepEqual(ticks(-0.4, 0.1, 5), [-0.4, -0.3, -0.2, -0.1, 0, 0.1], 'and no −5.6e−17');
  assert.deepEqual(ticks(3, 3, 4), [3]);
});

test('a logarithmic axis has decades where they suffice and fewer letters where they do not', () => {
  assert.deepEqual(logTicks(-3, 1), [0.001, 0.01, 0.1, 1, 10]);
  assert.deepEqual(logTicks(0, 0.9), [1, 2, 5]);
  assert.equal(logTicks(-12, 12).length <= 6, true);
});

test('what a run has thrown away is from the step after the good one to that of the alert', () => {
  const alerts = [
    {name: 'norm-explosion', step: 4, back_to: 0},
    {name: 'recovered', step: 4, back_to: 0},
    {name: 'recovered', step: 9, back_to: null},
    {name: 'recovered', step: 12, back_to: 11},
  ];
  assert.deepEqual(discarded(alerts), [
    [1, 4],
    [12, 12],
  ]);
});
