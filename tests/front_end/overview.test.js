import assert from 'node:assert/strict';
import {test} from 'node:test';

import {at, held} from '../../lora_watch/tensorboard_plugin/static/alert_detail.js';
import {endOf, peakOf, rateOf, verdict} from '../../lora_watch/tensorboard_plugin/static/overview.js';
import {damageFrom, smooth, zoneAt} from '../../lora_watch/tensorboard_plugin/static/picture.js';

const ZONES = [
  {name: 'unknown', severity: null, text: 'Not known.'},
  {name: 'healthy', severity: null, text: 'It came down.'},
  {name: 'exploding', severity: 'ERROR', text: 'Too large.'},
];
const always = (place) => ({at: () => place});

test('a zone is the one that the rules wrote, in the colour of its severity', () => {
  const kinds = ZONES.map((_, place) => zoneAt({zones: ZONES}, always(place), 5).kind);
  assert.deepEqual(kinds, ['info', 'ok', 'error']);
  assert.equal(zoneAt({zones: ZONES}, always(1), 5).text, 'It came down.');
  assert.equal(zoneAt({}, always(1), 5), null);
  assert.equal(
    zoneAt({zones: [{name: 'no-gain', severity: null}]}, always(0), 5).head,
    'No clear gain',
    'of its noise',
  );
  assert.equal(zoneAt({zones: ZONES}, null, 5), null);
});

test('each zone of a severity has a colour of its own', () => {
  const named = (name, severity) => zoneAt({zones: [{name, severity, text: ''}]}, always(0), 1).colour;
  const errors = ['diverged', 'exploding', 'non-finite'].map((name) => named(name, 'ERROR'));
  const silent = ['unknown', 'healthy', 'no-gain'].map((name) => named(name, null));
  const warnings = ['barely-moves'].map((name) => named(name, 'WARNING'));
  const all = [...errors, ...silent, ...warnings];
  assert.equal(new Set(all).size, all.length);
});

test('the alert to show first comes before the zone, and what was not recorded is said', () => {
  const alert = {severity: 'WARNING', name: 'loss-spike', message: 'far above'};
  assert.equal(verdict(alert, zoneAt({zones: ZONES}, always(1), 5)).kind, 'warning');
  assert.equal(verdict(null, null).head, 'Not recorded');
  const sound = zoneAt({zones: ZONES}, always(1), 5);
  assert.equal(verdict(null, sound).head, 'No alerts');
  assert.equal(verdict(null, sound, null, null, [{severity: 'INFO'}, {severity: 'INFO'}]).head, 'No warnings, 2 infos');
  assert.equal(verdict(null, sound, null, null, [alert]).head, 'No warning is open', 'it is over');
  assert.match(verdict(null, zoneAt({zones: ZONES}, always(0), 5), 'too few steps').text, /too few steps/i);
});

test('an alert has the step at which it became as grave as it is, and no step 0', () => {
  assert.deepEqual([at({step: 5, graver_at: 6}), at({step: 0, graver_at: null})], ['step 6', 'before step 1']);
  assert.equal(held({step: 0, last_step: 100, lasted: 100, closed_step: 100}, true), '100 steps');
});

test('the peak is that of the steps so far', () => {
  const matrix = {columns: 3, n: 2, first: [1, 2, 3], high: [1, NaN, 5, 2, 9, 3]};
  assert.equal(peakOf(matrix, 2), 5);
  assert.equal(peakOf(matrix, 3), 9);
  assert.equal(
    peakOf(matrix, 3, [], (item) => item === 1),
    3,
    'a new head is another group',
  );
  assert.equal(peakOf(null, 3), null);
});

test('a learning rate is that of the peak beside it, and says what a sweep has found', () => {
  assert.equal(rateOf({}, 0.02), 'lr up to 0.02');
  const of = (learning_rate, rate, peak) =>
    rateOf({config: {learning_rate, find_lr: {rate, low: 0.008, high: 0.02}}}, peak);
  assert.equal(of(0.01, 0.01, 0.01), 'lr up to 0.01, found by a sweep (0.008 to 0.02)');
  assert.equal(of(0.01, 0.01, 0.009), 'lr up to 0.009, 0.01 found by a sweep (0.008 to 0.02)', 'it has recovered');
  assert.equal(of(0.02, 0.01, 0.02), 'lr up to 0.02');
  assert.equal(rateOf({}, null), null);
});

test('a running mean keeps both ends', () => {
  const path = smooth([1, 5, 2, 8].map((ratio, step) => ({step, ratio, gain: ratio / 10})));
  assert.deepEqual([path[0].ratio, path[3].ratio].map(Math.round), [1, 8]);
  assert.equal(path[1].gain, (0.1 + 0.5 + 0.2) / 3);
});

test('a run that ended by itself is no plain green while a warning is open', () => {
  const kinds = [null, 0].map((first) => endOf({verdict: 'ok', message: null, first}, {wall_time: 0}).kind);
  assert.deepEqual(kinds, ['ok', 'warning']);
});

test('a run that broke off is red, as check has it, and says for what', () => {
  const said = ['ValueError: why', null].map((message) =>
    verdict(null, zoneAt({zones: ZONES}, always(1), 5), null, null, [], endOf({verdict: 'interrupted', message}, {})),
  );
  assert.deepEqual(said[0], {kind: 'error', head: 'Broke off', text: 'ValueError: why'});
  assert.match(said[1].text, /killed/);
});

test('a run that says nothing for long was killed, or is very slow', () => {
  const running = {verdict: 'running', message: null};
  assert.equal(endOf(running, {wall_time: 0}, 60).word, 'running');
  assert.equal(endOf(running, {wall_time: 0}, 3 * 3600).word, 'silent for 3 h');
  assert.equal(endOf({verdict: null, message: null}, {wall_time: 0}), null);
});

test('preferences against a reference model have the smaller limit', () => {
  const rules = [{id: 'LW102', thresholds: {threshold: 12, of_preferences: 2}}];
  const from = (config) => damageFrom(/** @type {any} */ ({rules, config}), 'output_ratio');
  assert.deepEqual([from({}), from({preference: true}), from({preference: true, reference: 'the base'})], [12, 12, 2]);
});
