import assert from 'node:assert/strict';
import {test} from 'node:test';

import {csvOf, tableOf} from '../../lora_watch/tensorboard_plugin/static/export.js';
import {meaning, unitOf} from '../../lora_watch/tensorboard_plugin/static/terms.js';

const line = (name, steps, high, low = high, flags = high.map(() => 0)) => ({
  name,
  matrix: {columns: steps.length, n: 1, first: steps, last: steps, low, high, flags, pooled: low !== high},
});

test('lines of different steps share a table, and what was not measured is empty', () => {
  const lines = [line('loss', [1, 2, 3], [4, 3, 2]), line('expected', [2, 3], [NaN, 1], undefined, [4, 0])];
  assert.equal(csvOf(lines), 'step,loss,expected\n1,4,\n2,3,\n3,2,1\n');
});

test('of columns of several steps both extremes are saved', () => {
  const [header, row] = csvOf([line('loss', [1], [4], [2])]).split('\n');
  assert.equal(header, 'first step,last step,loss lowest,loss highest');
  assert.equal(row, '1,1,2,4');
});

test('a name is text, for spreadsheets too', () => {
  assert.equal(tableOf([['=HYPERLINK("x")', 'a,b']]), '"\'=HYPERLINK(""x"")","a,b"\n');
});

test('every metric has a meaning, and axes have units', () => {
  assert.match(meaning('output_ratio'), /W₀/);
  assert.equal(meaning('constructor'), undefined);
  assert.deepEqual(['output_ratio', 'relative_norm', 'spectral_norm', 'delta_norm', 'effective_lr'].map(unitOf), [
    'ratio of norms',
    'relative to W₀',
    'σ₁',
    'Frobenius norm',
    'per step',
  ]);
});
