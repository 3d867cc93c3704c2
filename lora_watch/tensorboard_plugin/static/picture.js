// The one picture of a run: how loud the adapters are against what the loss has gained, and what that means.

import {logTicks, ticks} from './chart.js';
import {INF, NAN} from './data.js';
import {em, h, num, percent, plain, svg, tip} from './dom.js';

/** What LW102 to LW104 go by where a run does not say. */
const FALLBACK = {
  LW102: {raised: 1.5, drowned: 12, loss_factor: 1.1, spectral_raised: 5, spectral_drowned: 20},
  LW104: {reach: 0.12, fall: 0.05},
};

/** Number of transformer blocks that hold adapters. What each one adds is carried on by all that follow. */
export const blocksOf = (schema) =>
  Math.max(1, new Set(schema.adapters.map((adapter) => adapter.layer).filter((layer) => layer != null)).size);

/** The limits of the run's own rules, in loudness over all blocks, so that the picture and the alerts say the same. */
export function limitsOf(schema, metric) {
  const limits = (id) => ({...FALLBACK[id], ...schema.rules?.find?.((found) => found.id === id)?.limits});
  const explosion = limits('LW102'),
    barely = limits('LW104'),
    kind = metric === 'output_ratio' ? '' : 'spectral_';
  return {
    quiet: barely.reach,
    fall: barely.fall,
    raised: explosion[`${kind}raised`],
    worse: 1 - explosion.loss_factor,
    drowned: explosion[`${kind}drowned`],
  };
}

/**
 * What a place in the picture is called. `gain`: share of its start that the loss has lost; `improved`: by more than
 * its noise; `loudness`: over all blocks; `reach`: what that leads to by the end of the schedule at most.
 */
export function zoneOf({gain, improved = gain > 0, loudness, reach = loudness}, {quiet, fall, raised, worse, drowned}) {
  if (!(loudness >= 0) || Number.isNaN(gain)) return 'unknown';
  if ((loudness > drowned && !improved) || (loudness > raised && gain < worse)) return 'overcooked';
  if (reach < quiet) return improved && gain > fall ? 'quiet' : 'barely';
  if (!improved) return 'stuck';
  return loudness > drowned ? 'loud' : 'healthy';
}

/**
 * {points: [{step, gain, improved, loudness, reach}]} of a run, from where its loss has a start; `missing`: why there
 * is none, `broken`: the step of its first NaN.
 */
export async function pathOf(app, run) {
  const metric = ['output_ratio', 'relative_spectral_norm'].find((name) => app.runs[run].metrics.includes(name));
  if (!metric) return {metric: 'output_ratio', points: [], missing: 'how loud the adapters are was not measured'};
  const window = {max_cols: 400};
  const [schema, spread, start, recent, improved, spent] = await Promise.all([
    app.data.schema(run),
    app.spread(metric, window, run),
    ...['loss_start', 'loss_recent', 'loss_improved', 'lr_fraction'].map((name) => app.series(name, window, run)),
  ]);
  const points = [],
    blocks = blocksOf(schema);
  const broken = spread.first.find((_, c) => spread.flags[c * spread.n] & (NAN | INF));
  // A point wherever the loudness was measured, and where the run is now.
  const steps =
    recent && start ? [...new Set([...spread.last, recent.last.at(-1)])].filter((step) => step >= recent.first[0]) : [];
  for (const step of steps) {
    const loudness = blocks * spread.at(step, 1),
      gain = 1 - recent.at(step) / start.at(step),
      share = spent?.at(step);
    if (Number.isFinite(gain) && loudness > 0) {
      points.push({
        step,
        gain,
        loudness,
        improved: improved ? improved.at(step) > 0 : gain > 0,
        reach: share > 0 ? loudness / share : loudness,
      });
    }
  }
  const missing = points.length
    ? null
    : !app.runs[run].series.includes('loss')
      ? 'the loss is unknown'
      : broken != null
        ? `NaN since step ${broken}`
        : 'too few steps';
  return {metric, points, blocks, broken, missing};
}

/** A running mean, which narrows towards the ends: where the run began and where it is now are true. */
function smooth(points) {
  const wide = Math.max(1, Math.round(points.length / 30));
  return points.map((point, i) => {
    const reach = Math.min(wide, i, points.length - 1 - i),
      near = points.slice(i - reach, i + reach + 1);
    const mean = (f) => near.reduce((sum, p) => sum + f(p), 0) / near.length;
    return {...point, gain: mean((p) => p.gain), loudness: Math.exp(mean((p) => Math.log(p.loudness)))};
  });
}

/** On which side of a point of the path there is `room` for words, -1 or 1, and how far down: away from the path. */
function beside(path, p, room, X, Y, left, right) {
  const x = X(p.gain),
    y = Y(p.loudness),
    line = []; // as it is drawn, also between two points that are far apart
  path.forEach((q, i) => {
    const before = path[i - 1] ?? q,
      steps = Math.ceil(Math.hypot(X(q.gain) - X(before.gain), Y(q.loudness) - Y(before.loudness)) / 6) || 1;
    for (let k = 1; k <= steps; k++)
      line.push({
        x: X(before.gain) + ((X(q.gain) - X(before.gain)) * k) / steps,
        y: Y(before.loudness) + ((Y(q.loudness) - Y(before.loudness)) * k) / steps,
      });
  });
  const near = line.filter((q) => Math.abs(q.y - y) < em(14));
  const crowded = (side) => near.filter((q) => (q.x - x) * side > 2 && (q.x - x) * side < room).length;
  const fits = (side) => (side > 0 ? x + room < right : x - room > left);
  const side = !fits(1) ? -1 : !fits(-1) ? 1 : crowded(-1) < crowded(1) ? -1 : 1;
  if (!crowded(side)) return [side, 0];
  const lines = near.filter((q) => (q.x - x) * side > 2).map((q) => q.y - y),
    mean = lines.reduce((a, b) => a + b, 0) / lines.length;
  return [side, mean > 0 ? -em(11) : em(11)];
}

/**
 * paths: [{name, letter, colour, points, broken}], with letters at the ends where there are several; options: width,
 * height, limits, metric, step, onStep.
 */
export function picture(paths, options) {
  const {width, height, limits, metric, step, onStep} = options;
  const pad = {left: em(52), right: em(20), top: em(12), bottom: em(40)};
  const W = width - pad.left - pad.right,
    H = height - pad.top - pad.bottom;
  const smoothed = paths.map((path) => smooth(path.points));
  const all = smoothed.flat();
  const gains = all.map((p) => p.gain),
    sizes = all.map((p) => Math.log10(p.loudness));
  const x0 = Math.max(-1, Math.min(-0.2, ...gains.map((g) => g * 1.12))),
    x1 = Math.min(1, Math.max(0.4, ...gains.map((g) => g * 1.15)));
  const y0 = Math.max(-4, Math.min(Math.log10(limits.quiet) - 0.9, ...sizes.map((v) => v - 0.2)));
  const y1 = Math.min(5, Math.max(Math.log10(limits.drowned) + 0.5, ...sizes.map((v) => v + 0.25)));
  const X = (gain) => pad.left + ((Math.max(x0, Math.min(x1, gain)) - x0) / (x1 - x0)) * W;
  const Y = (loudness) => pad.top + H - ((Math.max(y0, Math.min(y1, Math.log10(loudness))) - y0) / (y1 - y0)) * H;
  const top = pad.top,
    bottom = pad.top + H,
    left = pad.left,
    right = pad.left + W,
    mid = X(0);
  const [quiet, raised, drowned] = [limits.quiet, limits.raised, limits.drowned].map(Y);
  const worse = X(limits.worse),
    slow = X(limits.fall);
  const root = svg('svg', {
    class: 'picture',
    width,
    height,
    viewBox: `0 0 ${width} ${height}`,
    role: 'img',
    'aria-label': 'loudness of the adapters against improvement of the loss',
  });

  const zone = (name, d) => svg('path', {d, class: `zone ${name}`});
  root.append(
    zone('overcooked', `M${left} ${top}H${mid}V${drowned}H${worse}V${raised}H${left}Z`),
    zone('loud', `M${mid} ${top}H${right}V${drowned}H${mid}Z`),
    zone('healthy', `M${mid} ${drowned}H${right}V${quiet}H${mid}Z`),
    zone('barely', `M${left} ${quiet}H${slow}V${bottom}H${left}Z`),
    svg('rect', {x: left, y: top, width: W, height: H, class: 'frame'}),
  );
  for (const value of logTicks(y0, y1)) {
    root.append(
      svg('line', {x1: left, x2: right, y1: Y(value), y2: Y(value), class: 'grid'}),
      svg('text', {x: left - 6, y: Y(value) + em(4), 'text-anchor': 'end'}, plain(value)),
    );
  }
  for (const value of ticks(x0, x1, W / em(70))) {
    root.append(
      svg(
        'text',
        {x: X(value), y: bottom + em(15), 'text-anchor': 'middle'},
        value === 0 ? '0' : `${value > 0 ? '−' : '+'}${Math.round(Math.abs(value) * 100)} %`,
      ),
    );
  }
  root.append(
    svg('line', {x1: mid, x2: mid, y1: top, y2: bottom, class: 'axis'}),
    svg('text', {x: left, y: height - 6, class: 'axis-name'}, '← loss above its start'),
    svg('text', {x: right, y: height - 6, 'text-anchor': 'end', class: 'axis-name'}, 'loss below its start →'),
    svg(
      'text',
      {
        x: em(12),
        y: (top + bottom) / 2,
        'text-anchor': 'middle',
        class: 'axis-name',
        transform: `rotate(-90 ${em(12)} ${(top + bottom) / 2})`,
      },
      metric === 'output_ratio' ? 'depth-scaled output ratio (p90 × blocks)' : 'σ₁(ΔW) / σ₁(W₀), p90 × blocks',
    ),
  );
  const label = (name, x, y, anchor, cls) =>
    svg('text', {x, y, 'text-anchor': anchor, class: `zone-name ${cls}`}, name);
  root.append(
    ...[
      label('OVERCOOKED', left + em(10), top + em(18), 'start', 'overcooked'),
      label('HEALTHY', right - em(10), quiet - em(10), 'end', 'healthy'),
      ...(mid - left < em(120)
        ? [
            label('BARELY', left + em(10), bottom - em(26), 'start', 'barely'),
            label('MOVES', left + em(10), bottom - em(10), 'start', 'barely'),
          ] // beside the paths
        : [label('BARELY MOVES', left + em(10), bottom - em(10), 'start', 'barely')]),
      label('very loud', right - em(10), top + em(18), 'end', 'minor'),
      label('no gain yet', left + em(10), (raised + quiet) / 2 + em(4), 'start', 'minor'),
      label('quiet, yet learning', right - em(10), bottom - em(10), 'end', 'minor'),
    ],
  );

  if (paths.length === 1 && paths[0].missing)
    root.append(
      svg(
        'text',
        {x: (left + right) / 2, y: (drowned + quiet) / 2, 'text-anchor': 'middle', class: 'empty'},
        `no path: ${paths[0].missing}`,
      ),
    );

  paths.forEach(({colour, letter, points, broken}, which) => {
    const path = smoothed[which];
    if (!path.length) return;
    root.append(
      svg('path', {
        class: 'trace-raw',
        style: `stroke:${colour}`,
        d: points.map((p) => `M${X(p.gain).toFixed(1)} ${Y(p.loudness).toFixed(1)}h.01`).join(''),
      }),
    );
    const d = path.map((p, i) => `${i ? 'L' : 'M'}${X(p.gain).toFixed(1)} ${Y(p.loudness).toFixed(1)}`).join('');
    root.append(svg('path', {d, class: 'trace-halo'}), svg('path', {d, class: 'trace', style: `stroke:${colour}`}));
    const dot = (p, r, cls, text) => {
      const [side, drop] = beside(path, p, em(14) + (text?.length ?? 0) * em(7), X, Y, left, right);
      return svg(
        'g',
        {
          class: cls,
          style: `--c:${colour}`,
          transform: `translate(${X(p.gain).toFixed(1)},${Y(p.loudness).toFixed(1)})`,
        },
        svg('circle', {r: em(r)}),
        text && svg('text', {x: side * em(r + 5), y: em(4) + drop, 'text-anchor': side < 0 ? 'end' : 'start'}, text),
      );
    };
    const taken = [path[0], path.at(-1)];
    for (const share of paths.length > 1 || path.length < 12 ? [] : [0.1, 0.25, 0.5, 0.75]) {
      const p = path[Math.round((path.length - 1) * share)];
      if (taken.some((q) => Math.hypot(X(q.gain) - X(p.gain), Y(q.loudness) - Y(p.loudness)) < em(44))) continue;
      taken.push(p);
      root.append(dot(p, 2.6, 'stop', `step ${p.step}`));
    }
    if (path.length > 1) root.append(dot(path[0], 3.5, 'begin', letter ? null : 'start'));
    if (!letter)
      root.append(
        dot(
          path.at(-1),
          6,
          broken > path.at(-1).step ? 'end gone' : 'end',
          `step ${path.at(-1).step}${broken > path.at(-1).step ? ', then NaN' : ''}`,
        ),
      );
    const now = step == null ? null : path.findLast((p) => p.step <= step);
    if (now && now !== path.at(-1)) root.append(dot(now, 5, 'now', `step ${step}`));
  });
  const ends = []; // letters, moved apart where they would meet
  paths.forEach(({colour, letter}, which) => {
    const end = letter && smoothed[which].at(-1);
    if (!end) return;
    const x = X(end.gain),
      r = em(8);
    let y = Y(end.loudness);
    while (ends.some((other) => Math.hypot(other.x - x, other.y - y) < 2 * r)) y += 2;
    ends.push({x, y});
    if (y !== Y(end.loudness))
      root.append(svg('path', {class: 'line', style: `stroke:${colour}`, d: `M${x} ${Y(end.loudness)}V${y}`}));
    root.append(
      svg(
        'g',
        {class: 'lettered', style: `--c:${colour}`, transform: `translate(${x.toFixed(1)},${y.toFixed(1)})`},
        svg('circle', {r}),
        svg('text', {y: em(4), 'text-anchor': 'middle'}, letter),
      ),
    );
  });
  const nearest = (event) => {
    const box = root.getBoundingClientRect();
    /** @type {any} */
    let best = null,
      least = 30 ** 2;
    for (const [which, path] of smoothed.entries()) {
      for (const p of path) {
        const distance =
          (X(p.gain) - (event.clientX - box.left)) ** 2 + (Y(p.loudness) - (event.clientY - box.top)) ** 2;
        if (distance < least) {
          least = distance;
          best = {...p, name: paths[which].name};
        }
      }
    }
    return best;
  };
  root.addEventListener('pointermove', (event) => {
    const p = nearest(event);
    if (p)
      tip.show(
        event,
        paths.length > 1 && h('b', null, p.name),
        `step ${p.step}`,
        `loudness ${num(p.loudness)}`,
        `loss ${percent(Math.abs(p.gain))} ${p.gain > 0 ? 'below' : 'above'} its start`,
      );
    else tip.hide();
  });
  root.addEventListener('pointerleave', () => tip.hide());
  root.addEventListener('click', (event) => {
    const p = nearest(event);
    if (p && onStep) onStep(p.step);
  });
  return root;
}
