import assert from 'node:assert/strict';
import {test} from 'node:test';

import {newsOf} from '../../lora_watch/tensorboard_plugin/static/app.js';
import {Matrix, NAN, UNKNOWN} from '../../lora_watch/tensorboard_plugin/static/matrix.js';
import {gainAt, pathOf} from '../../lora_watch/tensorboard_plugin/static/picture.js';

/** One row of numbers a step; `n` items each. */
const series = (rows) => {
  const steps = Object.keys(rows).map(Number),
    values = Float32Array.from(Object.values(rows).flat()),
    n = values.length / steps.length,
    header = {shape: [steps.length, n], first: steps, last: steps, pooled: false, width: 1};
  return new Matrix(
    header,
    values,
    values,
    Uint8Array.from(values, (value) => (Number.isNaN(value) ? NAN : 0)),
  );
};
/** The same in at most so many columns of equally many rows: what is not finite is in `flags`. */
function pooled(whole, most) {
  const width = Math.ceil(whole.columns / most),
    places = Array.from({length: Math.ceil(whole.columns / width)}, (_, i) => i * width),
    end = (place) => Math.min(place + width, whole.columns) - 1;
  const of = (plane, pick) =>
    plane.constructor.from(
      places.flatMap((place) =>
        Array.from({length: whole.n}, (_, i) => {
          const cells = Array.from({length: end(place) - place + 1}, (_, c) => plane[(place + c) * whole.n + i]);
          return cells.filter(Number.isFinite).reduce(pick, cells[0]);
        }),
      ),
    );
  const header = {
    ...whole,
    shape: [places.length, whole.n],
    first: places.map((place) => whole.first[place]),
    last: places.map((place) => whole.last[end(place)]),
    pooled: width > 1,
    width,
  };
  const [low, high] = [Math.min, Math.max].map((pick) => of(whole.low, (a, b) => pick(a, b)));
  return new Matrix(
    header,
    low,
    high,
    of(whole.flags, (a, b) => a | b),
  );
}
const steps = (count, value) => Object.fromEntries(Array.from({length: count}, (_, i) => [i + 1, value(i + 1)]));

test('a number of one step is that of this step or of the last one before it, NaN as NaN', () => {
  const losses = series({1: 5, 2: 9, 3: 4, 6: Number.NaN, 7: 2});
  assert.deepEqual(
    [0, 1, 3, 5, 6, 9].map((step) => losses.at(step)),
    [undefined, 5, 4, 4, Number.NaN, 2],
  );
  losses.flags[4] = UNKNOWN;
  assert.equal(losses.at(7), undefined);
});

test('a column of several steps has no number of one step', () => {
  const few = pooled(series(steps(9, (step) => step)), 2);
  assert.deepEqual([...few.first], [1, 6]);
  assert.equal(few.at(5), undefined);
  assert.equal(pooled(series({1: 3, 2: 4, 3: 9}), 2).at(3), 9, 'a column of one step has');
});

/** A run of `count` steps, as the server answers: pooled in a window, as they are at steps. */
function appOf(count, broken = Infinity, size = null) {
  const fine = (step, value) => (step < broken ? value : Number.NaN),
    until = Math.min(count, broken - 1);
  const all = {
    loss: series(steps(count, (step) => fine(step, 4 - step / count + (step % 2)))),
    loss_start: series({1: 4}),
    loss_recent: series(steps(until, (step) => 4 - step / count)),
    zone: series(steps(count, (step) => step % 2)),
    output_ratio: series(steps(count, (step) => [9, step + (step % 2), 0, 0])),
    size,
  };
  const read = (name, {at, max_cols}) => (at ? all[name] : all[name] && pooled(all[name], max_cols));
  const app = {
    runs: {run: {metrics: ['output_ratio'], series: Object.keys(all), step: count}},
    data: {
      verdict: () => ({verdict: 'ok'}),
      schema: () => ({adapters: [], depth: 1, zones: ['healthy', 'barely-moves'].map((name) => ({name}))}),
      alerts: () => ({alerts: []}),
    },
    spread: read,
    series: read,
    seriesOf: (names, window) => Object.fromEntries(names.map((name) => [name, read(name, window)])),
  };
  return app;
}

test('each point of the path of a long run has the numbers of its own step', async () => {
  const {points} = await pathOf(appOf(1203), 'run');
  const {points: own} = await pathOf(appOf(1203, Infinity, series(steps(1203, (step) => step))), 'run');
  assert.ok(points.length > 300);
  for (const [i, {step, gain, ratio, zone}] of points.entries()) {
    assert.equal(ratio, step + (step % 2));
    assert.equal(own[i].ratio, step, 'as the rules count it, where that was recorded');
    assert.ok(Math.abs(gain - step / 1203 / 4) < 1e-6);
    assert.equal(zone.name, step % 2 ? 'barely-moves' : 'healthy');
  }
});

test('a path goes forward, and ends where the loss does', async () => {
  const {points} = await pathOf(appOf(12, 11), 'run');
  assert.deepEqual(
    points.map(({step}) => step),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
  );
  const rare = appOf(12);
  rare.spread = () => series({4: [1, 1, 1, 1], 8: [1, 1, 1, 1]});
  assert.deepEqual(
    (await pathOf(rare, 'run')).points.map(({step}) => step),
    [4, 8, 12],
  );
});

test('a path has no gain by losses that a recovery has discarded', async () => {
  const app = appOf(12);
  const back = (back_to, step) => ({name: 'recovered', back_to, step});
  app.data.alerts = () => ({alerts: [back(0, 3), back(0, 1)]}); // without a point, nothing is drawn of the second
  const {seriesOf} = app,
    recent = series({3: [8], 6: [3], 7: [3]});
  app.seriesOf = (names, window) => ({...seriesOf(names, window), loss_recent: recent});
  const {points, strays} = await pathOf(app, 'run');
  assert.deepEqual([points[0].step, strays.length, strays[0].at(-1).step], [6, 1, 3]);
});

test('there is no gain at a step whose loss is not finite', () => {
  const known = {loss: series({1: 4, 2: Number.NaN}), loss_start: series({1: 4}), loss_recent: series({1: 3})};
  assert.equal(gainAt(known, 1), 0.25);
  assert.equal(gainAt(known, 2), Number.NaN);
  assert.equal(gainAt({...known, loss: null}, 2), 0.25);
});

test('news are steps, what a run says of its end, and runs', () => {
  const run = (step, wall_time) => ({step, wall_time}),
    shown = {a: run(9, 100)};
  assert.equal(newsOf(shown, {a: run(9, 100)}, 'a'), null);
  assert.deepEqual(newsOf(shown, {a: run(10, 101)}, 'a'), {words: 'now at step 10', isHere: true});
  assert.deepEqual(newsOf(shown, {a: run(9, 105)}, 'a'), {words: 'more was written', isHere: true});
  assert.deepEqual(newsOf(shown, {...shown, b: run(1, 106)}, 'a'), {words: '1 new run', isHere: false});
  assert.deepEqual(newsOf(shown, {...shown, b: run(1, 106)}, 'b'), {words: '1 new run', isHere: true}, 'awaited');
  assert.deepEqual(newsOf({}, {b: run(1, 106), c: run(1, 106)}, ''), {words: '2 new runs', isHere: true});
  assert.equal(newsOf(shown, {}, 'a'), null);
});
