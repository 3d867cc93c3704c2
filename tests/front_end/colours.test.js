import assert from 'node:assert/strict';
import {readdirSync, readFileSync} from 'node:fs';
import {test} from 'node:test';

const STATIC = new URL('../../lora_watch/tensorboard_plugin/static/', import.meta.url);

test('every colour that is asked for is in the sheet; those of lines by light and by dark', () => {
  const all = readdirSync(STATIC)
    .map((name) => readFileSync(new URL(name, STATIC), 'utf8'))
    .join('\n');
  const lines = [1, 2, 3, 4, 5, 6].map((n) => `c${n}`), // `var(--c${n})`
    asked = new Set([...all.matchAll(/var\(--([\w-]+)[,)]/g)].map(([, name]) => name));
  const defined = (name) => all.split(`--${name}:`).length - 1;
  assert.deepEqual(
    [...asked].filter((name) => !defined(name)),
    [],
  );
  assert.deepEqual(
    lines.filter((name) => defined(name) !== 2),
    [],
  );
});
