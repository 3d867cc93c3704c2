import assert from 'node:assert/strict';
import {test} from 'node:test';

import {num, percent, words} from '../../lora_watch/tensorboard_plugin/static/dom.js';
import {cut, named} from '../../lora_watch/tensorboard_plugin/static/names.js';

/** [type, short name] of each of these adapters; the layer is the first number in the name. */
const short = (...names) =>
  named(names.map((name) => ({name, layer: name.match(/\d+/) ? Number(name.match(/\d+/)[0]) : null}))).map(
    (adapter) => [adapter.type, adapter.short],
  );

test('names are short and tell adapters apart', () => {
  const block = 'model.layers.3.self_attn';
  assert.deepEqual(short(`${block}.q_proj`, `${block}.k_proj`), [
    ['q_proj', '3 · q_proj'],
    ['k_proj', '3 · k_proj'],
  ]);
  assert.deepEqual(short('encoder.layers.0.fc1', 'decoder.layers.0.fc1', 'decoder.layers.0.fc2', 'head'), [
    ['encoder.layers.fc1', '0 · encoder.layers.fc1'],
    ['decoder.layers.fc1', '0 · decoder.layers.fc1'],
    ['fc2', '0 · fc2'],
    ['head', 'head'],
  ]);
  const experts = [0, 1].flatMap((i) => ['w1', 'w2'].map((w) => `model.layers.1.mlp.experts.${i}.${w}`));
  assert.deepEqual(
    short(...experts).map(([type]) => type),
    ['mlp.experts.0.w1', 'mlp.experts.0.w2', 'mlp.experts.1.w1', 'mlp.experts.1.w2'],
  );
});

test('a long name keeps what is after its last dot', () => {
  assert.equal(cut('short', 10), 'short');
  assert.equal(cut('encoder_attention.q_proj', 18), 'encoder_att…q_proj');
  assert.equal(cut('a'.repeat(30), 10), `${'a'.repeat(9)}…`);
});

test('numbers have three digits and a true minus', () => {
  const written = [0.12345, -2, 1234.5, 1e7, 4e-5, 0, NaN, -Infinity, null].map((value) => num(value));
  assert.deepEqual(written, ['0.123', '−2', '1235', '1e7', '4e−5', '0', 'NaN', '−∞', '–']);
  assert.equal(percent(-0.125, 1), '−12.5 %');
});

test('a share that rounds to nothing has no sign', () => {
  assert.equal(percent(-0.001), '0 %');
  assert.equal(percent(-0.014), '−1 %');
  assert.equal(percent(0.25, 1), '25.0 %');
});

test('names of rules are words', () => {
  assert.equal(words('norm-explosion'), 'Norm explosion');
  assert.equal(words('b_grad_norm'), 'B grad norm');
});
