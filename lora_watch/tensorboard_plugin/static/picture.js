// The one picture of a run: the depth-scaled output ratio against what the loss has gained, step by step.
// What each step is called, and the thresholds, are the rules' own: Python wrote them, nothing is judged here.
import {discarded, gridLines, logTicks, ticks} from './chart.js';
import {drawing, em, nothing, num, percent, severityClass, svg, tip, words} from './dom.js';
import {INF, NAN} from './matrix.js';

/** What turns the ratio of one layer into that of the model; the number of blocks in files that do not name it. */
export const depthOf = (schema) =>
  schema.depth ?? Math.max(1, new Set(schema.adapters.map(({layer}) => layer).filter((layer) => layer != null)).size);

/** The depth-scaled output ratio from which LW102 speaks whatever the loss; null where it does not say. Against a
 * reference model good runs stay smaller. */
export function damageFrom(/** @type {import('./data.js').Schema} */ {rules, config}, metric) {
  const {threshold, of_preferences: smaller} = rules?.find(({id}) => id === 'LW102')?.thresholds ?? {};
  return metric === 'output_ratio' ? (config?.preference && config.reference && smaller) || (threshold ?? null) : null;
}

/** Why a run without a step shows nothing: it goes on, or it has ended. */
const WAITING = 'waiting for the first step';
const NO_STEP = 'no step was made';
export const isWithoutStep = (why) => why === WAITING || why === NO_STEP;

/** Zones that share their severity with another one, and have a colour of their own. */
const OWN_COLOURS = {unknown: 'faint', 'non-finite': 'broken', diverged: 'c4'};
/** What zones are called whose names would say too much of a loss within its noise. */
const HEADS = {healthy: 'Loss below its start', 'no-gain': 'No clear gain'};

/**
 * What the rules call the run at a step, in words of theirs: {name, head, text, kind, colour}; null where none was
 * recorded. `kind`: the severity of the rules whose open alert put the run there.
 */
export function zoneAt(schema, zones, step) {
  const zone = schema.zones?.[zones?.at(step)];
  if (!zone) return null;
  const kind = zone.severity ? severityClass(zone.severity) : zone.name === 'healthy' ? 'ok' : 'info';
  const head = HEADS[zone.name] ?? words(zone.name);
  return {name: zone.name, head, text: zone.text, kind, colour: OWN_COLOURS[zone.name] ?? kind};
}

/**
 * What the loss has gained at a step, as a share of its start; NaN where that is not above 0, the loss is not finite,
 * or the last mean is of a stretch that is `gone` by then.
 * @param {Record<string, any>} known
 */
export function gainAt({loss, loss_start: start, loss_recent: recent}, step, gone = []) {
  const of = recent?.first[recent.columnOf(step)],
    isGone = gone.some(([first, last]) => first <= of && of <= last && last < step),
    isKnown = Number.isFinite(loss?.at(step) ?? 0) && start?.at(step) > 0;
  return isKnown && !isGone ? 1 - recent?.at(step) / start?.at(step) : Number.NaN;
}

/** The same in words. */
export const againstStart = (gain) => `${percent(Math.abs(gain))} ${gain < 0 ? 'above' : 'below'} its start`;

/** What is known of a policy's reward. */
export const REWARDS = ['reward', 'reward_start', 'reward_recent', 'reward_rows'];

/**
 * How far the mean of the last rewards is above the first ones at a step, in words; null where that is not known, and
 * of so few that reports and `check` name single ones.
 * @param {Record<string, any>} known
 */
export function riseAt({reward_start: start, reward_recent: recent, reward_rows: rows}, step) {
  const rise = rows?.at(step) < 10 ? Number.NaN : recent?.at(step) - start?.at(step);
  return Number.isFinite(rise) ? `gain ${rise < 0 ? '−' : '+'}${num(Math.abs(rise))}, mean of five` : null;
}

/** The sizes by which a run is drawn, the best first. */
export const RATIOS = ['output_ratio', 'relative_spectral_norm'];

/**
 * What all blocks together add at a step: as the rules count it, who leave out what adapters began with (PiSSA); where
 * that was not recorded, from the `spread` over the layers.
 * @param {Record<string, any>} path
 * @param {Record<string, any>} known
 */
export function sizeAt({metric, depth}, {size}, spread, step) {
  const p90 = spread?.at(step, 1),
    recorded = metric === RATIOS[0] && Number.isFinite(p90) ? size?.at(step) : null;
  return recorded ?? (p90 == null ? null : depth * p90);
}

/**
 * {metric, depth, points: [{step, gain, ratio, zone}], strays, missing, broken} of a run, from where its loss has a
 * start; `gain`: share of its start that the loss has lost; `ratio`: depth-scaled; `strays`: the points of each stretch
 * that was discarded; `missing`: why there is no point, `broken`: the step of its first NaN.
 */
export async function pathOf(app, run) {
  const metric = RATIOS.find((name) => app.runs[run].metrics.includes(name));
  const {verdict} = await app.data.verdict(run),
    waiting = ['running', null].includes(verdict) ? WAITING : NO_STEP;
  if (!metric) {
    const unknown = app.runs[run].step ? 'the output ratio was not measured' : waiting;
    return {metric: 'output_ratio', points: [], depth: 1, missing: unknown};
  }
  const window = {max_cols: 400};
  const [schema, {alerts}, spread, recent] = await Promise.all([
    app.data.schema(run),
    app.data.alerts(run),
    app.spread(metric, window, run),
    app.series('loss_recent', window, run),
  ]);
  const depth = depthOf(schema);
  const column = spread.first.findIndex((_, c) => spread.flags[c * spread.n] & (NAN | INF)),
    broken = column < 0 ? undefined : spread.first[column];
  // A point wherever the output ratio was measured, and where the run is now.
  const steps = recent?.columns
    ? [...new Set([...spread.last, recent.last.at(-1)])].filter((step) => step >= recent.first[0])
    : [];
  const [sizes, known] = await Promise.all([
    app.spread(metric, {at: steps}, run),
    app.seriesOf(['loss', 'loss_start', 'loss_recent', 'size', 'zone'], {at: steps}, run),
  ]);
  const stretches = discarded(alerts);
  const all = steps
    .sort((a, b) => a - b)
    .map((step) => ({
      step,
      gain: gainAt(known, step, stretches),
      ratio: sizeAt({metric, depth}, known, sizes, step),
      zone: zoneAt(schema, known.zone, step),
    }))
    .filter(({gain, ratio}) => Number.isFinite(gain) && ratio > 0);
  const within = ([first, last], {step}) => first <= step && step <= last;
  const points = all.filter((point) => !stretches.some((stretch) => within(stretch, point)));
  const strays = stretches.map((stretch) => all.filter((point) => within(stretch, point))).filter(({length}) => length);
  return {
    metric,
    points,
    strays,
    depth,
    broken,
    missing: points.length ? null : why(app.runs[run], column < 0 ? null : spread.steps(column), waiting, steps.length),
  };
}

const why = ({series, step}, broken, waiting, measured) => {
  if (step === 0) return waiting;
  if (!series.includes('loss')) return 'the loss is unknown';
  if (series.includes('reward')) return 'the reward counts here, not the loss';
  return broken ? `NaN since ${broken}` : measured > 3 ? 'the adapters are zero' : 'too few steps';
};

/** A running mean, which narrows towards the ends: where the run began and where it is now are true. */
export function smooth(points) {
  const wide = Math.max(1, Math.round(points.length / 30));
  return points.map((point, i) => {
    const reach = Math.min(wide, i, points.length - 1 - i),
      near = points.slice(i - reach, i + reach + 1);
    const mean = (f) => near.reduce((sum, p) => sum + f(p), 0) / near.length;
    return {...point, gain: mean((p) => p.gain), ratio: Math.exp(mean((p) => Math.log(p.ratio)))};
  });
}

/** `path`: as `pathOf` gives it; options: width, height, damage, step, onStep. */
export function picture(path, options) {
  const {width, height, damage, step, onStep} = options;
  const name = path.metric === 'output_ratio' ? 'size of the adapters' : 'σ₁(ΔW) / σ₁(W₀) × depth';
  const smoothed = smooth(path.points),
    strayed = (path.strays ?? []).map(smooth);
  const plane = planeOf([...smoothed, ...strayed.flat()], width, height, damage);
  const root = drawing('picture', width, height, `${name} against improvement of the loss`);
  root.append(...frame(plane, name, height), ...region(plane, damage));
  if (path.missing) root.append(empty(plane, path.missing));
  else root.append(...lines(path.points, smoothed, strayed, plane), ...dots(smoothed, path.broken, plane, step));
  listen(root, smoothed, plane, name, onStep);
  return root;
}

/** Where a gain and a ratio lie in the picture: X(gain) and Y(ratio), within its edges. */
function planeOf(shown, width, height, damage) {
  const left = em(56),
    right = width - em(20),
    top = em(12),
    bottom = height - em(40);
  const gains = shown.map((p) => p.gain),
    sizes = shown.map((p) => Math.log10(p.ratio));
  const x0 = Math.max(-10, Math.min(-0.2, ...gains.map((g) => g * 1.12))),
    x1 = Math.min(1, Math.max(0.4, ...gains.map((g) => g * 1.15)));
  const lowest = Math.max(-4, Math.min(...(sizes.length ? sizes : [-1]))),
    y1 = Math.min(5, Math.max(...(sizes.length ? sizes : [1]), damage ? Math.log10(damage) : -4) + 0.3),
    y0 = lowest - Math.max(0.3, (y1 - lowest) / 9); // below a point stands its step, above the ticks
  const X = (gain) => left + ((Math.max(x0, Math.min(x1, gain)) - x0) / (x1 - x0)) * (right - left);
  const Y = (ratio) => bottom - ((Math.max(y0, Math.min(y1, Math.log10(ratio))) - y0) / (y1 - y0)) * (bottom - top);
  return {left, right, top, bottom, x0, x1, y0, y1, X, Y};
}

/** The frame, its grid and both axes with their numbers and names. */
function frame({left, right, top, bottom, x0, x1, y0, y1, X, Y}, name, height) {
  const W = right - left;
  const turned = `translate(${em(12)},${(top + bottom) / 2})rotate(-90)`;
  return [
    svg('rect', {x: left, y: top, width: W, height: bottom - top, class: 'frame'}),
    ...gridLines(logTicks(y0, y1), {left, right}, Y),
    ...ticks(x0, x1, Math.max(4, W / em(70))).map((value) =>
      svg('text', {x: X(value), y: bottom + em(15), 'text-anchor': 'middle'}, percent(value)),
    ),
    svg('line', {x1: X(0), x2: X(0), y1: top, y2: bottom, class: 'axis'}),
    svg(
      'text',
      {x: right, y: height - 6, 'text-anchor': 'end', class: 'axis-name'},
      'loss (mean of five) below its start →',
    ),
    svg('text', {class: 'axis-name', 'text-anchor': 'middle', transform: turned}, `${name}, logarithmic`),
  ];
}

/** Where few good runs end: above a size, unless the loss has come down all the same. */
function region({left, right, top, Y}, damage) {
  if (!damage) return [];
  return [
    svg('rect', {x: left, y: top, width: right - left, height: Y(damage) - top, class: 'damaged'}),
    svg(
      'text',
      {x: right - em(6), y: Y(damage) - em(5), 'text-anchor': 'end', class: 'damaged'},
      'few good runs up here',
    ),
  ];
}

const empty = ({left, right, top, bottom}, missing) =>
  nothing((left + right) / 2, (top + bottom) / 2, isWithoutStep(missing) ? missing : `no path: ${missing}`);

/** A path: its points, what was discarded, its running mean in the colours of its zones. */
function lines(points, smoothed, strayed, {X, Y}) {
  const at = (p) => `${X(p.gain).toFixed(1)} ${Y(p.ratio).toFixed(1)}`;
  const along = (some) => some.map((p, i) => `${i ? 'L' : 'M'}${at(p)}`).join('');
  const zoned = ({zone}, i) =>
    zone &&
    i &&
    svg('path', {
      d: `M${at(smoothed[i - 1])}L${at(smoothed[i])}`,
      class: `trace zone ${zone.kind}`,
      style: `stroke:var(--${zone.colour})`,
    });
  return [
    svg('path', {class: 'trace-raw', d: points.map((p) => `M${at(p)}h.01`).join('')}),
    ...strayed.map((stray) =>
      svg(
        'path',
        {d: along(stray), class: 'trace stray'},
        svg('title', null, `steps ${stray[0].step} to ${stray.at(-1)?.step}, discarded`),
      ),
    ),
    svg('path', {d: along(smoothed), class: 'trace-halo'}),
    svg('path', {d: along(smoothed), class: 'trace'}),
    ...smoothed.map(zoned).filter(Boolean),
  ];
}

/** Steps along a path: the start, the end, and the one that is looked at. */
function dots(path, broken, {X, Y, left, right}, step) {
  const dot = (p, r, cls, text) => {
    const anchor = X(p.gain) > right - em(50) ? 'end' : X(p.gain) < left + em(50) ? 'start' : 'middle';
    return svg(
      'g',
      {class: cls, transform: `translate(${X(p.gain).toFixed(1)},${Y(p.ratio).toFixed(1)})`},
      svg('circle', {r: em(r)}),
      svg('text', {y: cls === 'begin' ? em(17) : -em(r + 5), 'text-anchor': anchor}, text),
    );
  };
  const end = path[path.length - 1],
    gone = broken >= end.step,
    now = path.findLast((p) => p.step <= step);
  return [
    path.length > 1 && dot(path[0], 3.5, 'begin', `step ${path[0].step}`), // a loss has a start after some steps
    dot(end, 6, gone ? 'end gone' : 'end', `step ${end.step}${gone ? ', then NaN' : ''}`),
    now && now !== end && dot(now, 5, 'now', `step ${step}`),
  ].filter(Boolean);
}

/** A pointer shows the step that it is near to, a click chooses it. */
function listen(root, path, {X, Y}, name, onStep) {
  const nearest = (event) => {
    const box = root.getBoundingClientRect();
    const far = (p) => Math.hypot(X(p.gain) - (event.clientX - box.left), Y(p.ratio) - (event.clientY - box.top));
    const best = path.reduce((a, b) => (a && far(a) <= far(b) ? a : b), null);
    return best && far(best) < 30 ? best : null;
  };
  root.addEventListener('pointermove', (event) => {
    const p = nearest(event);
    if (!p) return tip.hide();
    tip.show(
      event,
      `step ${p.step}: ${p.zone?.head.toLowerCase() ?? 'zone not recorded'}`,
      `${name} ${num(p.ratio)}`,
      `loss (mean of five) ${againstStart(p.gain)}`,
    );
  });
  root.addEventListener('pointerleave', () => tip.hide());
  root.addEventListener('click', (event) => {
    const p = nearest(event);
    if (p) onStep(p.step);
  });
}
