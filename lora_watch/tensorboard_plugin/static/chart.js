// Line charts by hand: extremes of each column, gaps and marks where a number is not finite, linked step cursor.

import {
  card,
  drawing,
  em,
  gestures,
  h,
  nothing,
  num,
  plain,
  pressable,
  severityClass,
  severityShape,
  svg,
  term,
  tip,
  tipRow,
} from './dom.js';
import {INF, NAN} from './matrix.js';
import {unitOf} from './terms.js';

/** Round tick values, about `count` of them. */
export function ticks(low, high, count) {
  const raw = (high - low) / Math.max(1, count);
  if (!(raw > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((size) => size >= raw * 0.999) ?? 10 * power;
  const out = [];
  for (let i = Math.ceil(low / step); i * step <= high + step * 1e-9; i++) out.push(Number((i * step).toPrecision(12)));
  return out;
}

/** Ticks of a logarithmic axis from 10^low to 10^high: at most `most` of them, decades where those are enough. */
export function logTicks(low, high, most = 6) {
  const between = (steps) => {
    const out = [];
    for (let e = Math.floor(low); e <= Math.ceil(high); e++) {
      for (const m of steps)
        if (Math.log10(m) + e >= low - 1e-9 && Math.log10(m) + e <= high + 1e-9) out.push(Number(`${m}e${e}`));
    }
    return out;
  };
  const decades = between([1]);
  if (decades.length >= 3) return decades.filter((_, i) => i % Math.ceil(decades.length / most) === 0);
  return (
    [
      [1, 2, 5],
      [1, 3],
    ]
      .map(between)
      .find((fine) => fine.length > 1 && fine.length <= most) ??
    (decades.length > 1 ? decades : ticks(10 ** low, 10 ** high, most / 2))
  );
}

/** Lines across a plane at these values of its upright axis, Y(value), with their numbers. */
export const gridLines = (values, {left, right}, Y, said = plain) =>
  values.flatMap((value) => [
    svg('line', {x1: left, x2: right, y1: Y(value), y2: Y(value), class: 'grid'}),
    svg('text', {x: left - 6, y: Y(value) + em(4), 'text-anchor': 'end'}, said(value)),
  ]);

/** The first and the last step of each stretch that a run has thrown away before it went on. */
export const discarded = (alerts) =>
  alerts
    .filter(({name, back_to, step}) => name === 'recovered' && back_to != null && back_to < step)
    .map(({back_to, step}) => [back_to + 1, step]);

/**
 * lines: [{name, matrix, column = 0, colour, dash, thin}]
 * options: width, height, term (what the upright axis shows), log, zero, step, onStep, range: [first, last], alerts,
 *   onAlert, thresholds: [{value, name}], discarded: [[first, last]], onZoom(first, last). Over something else than
 *   steps: axis (its name), ticks: [[step, text]], say(step), marks: [{at, name, kind}]
 */
export function lineChart(lines, options) {
  const {width, height, step, alerts = []} = options;
  const used = lines.filter(hasNumbers);
  const names = lines.map((line) => line.name).join(', ');
  const root = drawing('chart', width, height, names, alerts.length ? {role: 'group'} : {});
  if (!used.length) {
    root.append(nothing(width / 2, height / 2, options.empty ?? 'not logged in this run'));
    return root;
  }
  const plane = planeOf(used, options),
    {X, x0, x1, top, foot} = plane;
  root.append(...grid(plane, options), ...thresholdLines(plane, options.thresholds ?? []));
  const marked = []; // where several lines are not finite, one stripe says it
  for (const line of used) root.append(...draw(line, plane, marked));
  root.append(...discardedBands(plane, options.discarded ?? []));
  if (step != null && step >= x0 && step <= x1)
    root.append(svg('line', {x1: X(step), x2: X(step), y1: top, y2: foot, class: 'cursor'}));
  root.append(
    ...alertMarks(plane, alerts, options.onAlert),
    ...(options.marks ?? []).flatMap((one) => upright(plane, one)),
  );
  listen(root, used, plane, options);
  return root;
}

/** A line of a chart has something to show: a number, or what is not finite. */
const hasNumbers = ({matrix, column = 0, dash}) =>
  matrix &&
  Array.from(matrix.first).some(
    (_, c) =>
      Number.isFinite(matrix.high[c * matrix.n + column]) ||
      (!dash && matrix.flags[c * matrix.n + column] & (NAN | INF)),
  );

/** Where a step and a value lie on a chart: X(step) and Y(to(value)), within its edges. */
function planeOf(used, options) {
  const {width, height, alerts = []} = options;
  const left = em(58),
    right = width - em(12),
    top = alerts.length ? 20 : 10,
    foot = height - em(22);
  const [x0, x1] = options.range;
  const positive = ({matrix, column = 0}) =>
    Array.from({length: matrix.columns}, (_, c) => matrix.high[c * matrix.n + column]).some(
      (v) => v > 0 && v < Infinity,
    );
  const log = options.log && used.some(positive); // what is zero throughout has no logarithm, but a line
  const to = log ? (v) => (v > 0 ? Math.log10(v) : NaN) : (v) => v;
  const [low, high] = padded(
    withThresholds(extremes(used, to, x0, x1), options.thresholds, to, log),
    options.zero,
    log,
  );
  const X = (s) => left + (x1 === x0 ? (right - left) / 2 : ((s - x0) / (x1 - x0)) * (right - left));
  const Y = (v) => foot - ((Math.max(low, Math.min(high, v)) - low) / (high - low)) * (foot - top);
  return {left, right, top, foot, x0, x1, log, to, low, high, X, Y};
}

/**
 * The lowest and the highest finite value of all lines from step x0 to step x1; [∞, −∞] where there is none.
 * @returns {[number, number]}
 */
function extremes(used, to, x0, x1) {
  let low = Infinity,
    high = -Infinity;
  for (const {matrix, column = 0} of used) {
    for (let c = 0; c < matrix.columns; c++) {
      if (matrix.last[c] < x0 || matrix.first[c] > x1) continue;
      const a = to(matrix.low[c * matrix.n + column]),
        b = to(matrix.high[c * matrix.n + column]);
      if (a < low && a > -Infinity) low = a;
      if (b > high && b < Infinity) high = b;
      if (b < low && b > -Infinity) low = b;
    }
  }
  return [low, high];
}

/**
 * A threshold is drawn where it is near enough to mean something.
 * @returns {[number, number]}
 */
function withThresholds([low, high], thresholds = [], to, log) {
  for (const {value} of thresholds) {
    const v = to(value);
    if (log && v > high && v - high < 1) high = v + 0.05;
    if (log && v < low && low - v < 1) low = v - 0.05;
  }
  return [low, high];
}

/** Room above and below the values; eight decades at most. */
function padded([low, high], zero, log) {
  if (!(low <= high)) [low, high] = [0, 1];
  if (zero && !log) low = Math.min(0, low);
  if (log && high - low > 8) low = high - 8;
  if (high - low < 1e-9 * Math.max(1, Math.abs(high))) {
    const room = log ? 0.3 : Math.abs(high) * 0.1 || 1;
    return [high === 0 ? 0 : low - room, high + room];
  }
  const room = (high - low) * 0.06;
  return [zero && low === 0 ? low : low - room, high + room];
}

/** Lines and numbers of both axes, and their names. */
function grid({left, right, top, foot, x0, x1, log, to, low, high, X, Y}, options) {
  const {height, term: shown, axis = 'step'} = options;
  const H = foot - top;
  const values = log ? logTicks(low, high, Math.max(2, H / em(18))) : ticks(low, high, Math.max(2, H / em(32)));
  const whole = () => ticks(x0, x1, (right - left) / em(62)).filter(Number.isInteger);
  const steps = options.ticks ?? whole().map((step) => [step, step]);
  const unit = unitOf(shown ?? '');
  const turned = `translate(${em(10)},${top + H / 2})rotate(-90)`;
  return [
    ...gridLines(values, {left, right}, (value) => Y(to(value))),
    ...steps.map(([step, text]) => svg('text', {x: X(step), y: height - 5, 'text-anchor': 'middle'}, text)),
    svg('text', {class: 'axis-name', x: left - 8, y: height - 5, 'text-anchor': 'end'}, axis),
    svg('text', {class: 'axis-name', 'text-anchor': 'middle', transform: turned}, unit),
  ];
}

const thresholdLines = ({left, right, to, low, high, Y}, thresholds) =>
  thresholds
    .map(({value, name}) => ({v: to(value), name}))
    .filter(({v}) => v >= low && v <= high)
    .flatMap(({v, name}) => [
      svg('line', {x1: left, x2: right, y1: Y(v), y2: Y(v), class: 'threshold'}),
      svg('text', {x: right - 2, y: Y(v) - 3, 'text-anchor': 'end', class: 'threshold'}, name),
    ]);

/** A line at a place of the lower axis, with its name. */
const upright = ({top, foot, X}, {at, name, kind}) => [
  svg('line', {class: 'found', x1: X(at), x2: X(at), y1: top, y2: foot, style: `stroke:var(--${kind})`}),
  svg(
    'text',
    {class: 'found', x: X(at) - 4, y: top + em(10), 'text-anchor': 'end', style: `fill:var(--${kind})`},
    name,
  ),
];

const discardedBands = ({top, foot, x0, x1, X}, stretches) =>
  stretches
    .map(([first, last]) => ({first, last, from: Math.max(x0, first - 0.5), until: Math.min(x1, last + 0.5)}))
    .filter(({from, until}) => until > from)
    .map(({first, last, from, until}) => {
      const said = first < last ? `steps ${first} to ${last} were discarded` : `step ${last} was discarded`;
      const place = {x: X(from), y: top, width: X(until) - X(from), height: foot - top};
      const arrow = `M${X(until)} ${top + 6}H${X(from)}m5 -4l-5 4l5 4`;
      return svg('g', {class: 'discarded'}, svg('title', null, said), svg('rect', place), svg('path', {d: arrow}));
    });

/** Above the chart: what opened at which step, and how long it held. */
function alertMarks({top, foot, x0, x1, X}, alerts, onAlert) {
  const within = alerts.filter((a) => a.step >= x0 && a.step <= x1);
  return within.flatMap((alert, i) => {
    const earlier = within.slice(0, i).filter(({step}) => step === alert.step).length; // none hides another
    const until = Math.min(x1, alert.closed_step == null ? x1 : alert.last_step);
    const severity = severityClass(alert.severity);
    const bar = {
      x: X(alert.step),
      y: 7.5,
      width: X(until) - X(alert.step),
      height: 3,
      class: `held severity ${severity}`,
    };
    return [
      ...(until > alert.step ? [svg('rect', bar)] : []),
      alertMark(alert, X(alert.step) + 13 * earlier, earlier ? 0 : foot - top + 11, () => onAlert?.(alert)),
    ];
  });
}

/** The sign of an alert above its step, with a stem of some length; it is pressed to open it. */
export const alertMark = (alert, x, stem, open) =>
  svg(
    'g',
    {
      class: `mark severity ${severityClass(alert.severity)}`,
      'aria-label': `${alert.severity} ${alert.rule} at step ${alert.step}`,
      transform: `translate(${x},9)`,
      ...pressable((event) => {
        event.stopPropagation();
        open();
      }),
      onpointermove: (event) => {
        event.stopPropagation();
        const head = h('b', null, `${alert.severity} ${alert.rule}`);
        tip.show(event, head, `step ${alert.step}`, alert.message);
      },
      onpointerleave: () => tip.hide(),
    },
    stem > 0 && svg('path', {d: `M0 6V${stem}`, class: 'stem'}),
    svg('path', {d: severityShape(alert.severity)}),
  );

/** A pointer shows the values of its step, a click chooses that step, and drawing it along zooms in. */
function listen(root, used, {left, right, top, foot, x0, x1, X}, options) {
  const {axis = 'step', say = String, onStep, onZoom} = options;
  const hover = svg('line', {y1: top, y2: foot, class: 'hover'});
  const band = svg('rect', {y: top, height: foot - top, class: 'select'});
  root.append(hover, band);
  const stepAt = (place) => Math.round(x0 + Math.max(0, Math.min(1, (place - left) / (right - left))) * (x1 - x0));
  gestures(root, band, {
    hover: (event, place) => {
      const at = stepAt(place);
      hover.setAttribute('x1', X(at));
      hover.setAttribute('x2', X(at));
      hover.style.display = 'block';
      tip.show(event, `${axis} ${say(at)}`, valuesAt(used, at));
    },
    leave: () => {
      hover.style.display = 'none';
    },
    zoom: (from, to) => stepAt(from) < stepAt(to) && onZoom?.(stepAt(from), stepAt(to)),
    choose: (_, place) => onStep?.(stepAt(place)),
  });
}

const valuesAt = (used, step) =>
  used.map(({matrix, column = 0, colour, name}) =>
    matrix.first[0] > step ? null : tipRow(colour, name, matrix.say(matrix.columnOf(step), column, num)),
  );

/** One line: its band of extremes if pooled, its path with gaps, a stripe where it is not finite. */
function draw(line, {X, Y, to, x0, x1, top, foot}, marked) {
  const {matrix, column = 0, colour, dash, thin} = line;
  const broken = [];
  let path = '',
    down = false,
    lone = '',
    alone = ''; // a point without neighbours shows as a dot
  const upper = [],
    lower = [],
    bands = [];
  const close = () => {
    if (upper.length > 1) bands.push(`M${upper.join('L')}L${lower.reverse().join('L')}Z`);
    upper.length = lower.length = 0;
  };
  for (let c = 0; c < matrix.columns; c++) {
    const middle = (matrix.first[c] + matrix.last[c]) / 2;
    if (matrix.last[c] < x0 || matrix.first[c] > x1) continue;
    const k = c * matrix.n + column,
      x = X(middle).toFixed(1);
    if (!dash && matrix.flags[k] & (NAN | INF)) {
      if (broken.at(-1)?.column === c - 1) Object.assign(broken.at(-1), {column: c, to: X(middle)});
      else
        broken.push({
          column: c,
          from: X(middle),
          to: X(middle),
          kind: matrix.flags[k] & NAN ? 'NaN' : 'Inf',
        });
    }
    const a = to(matrix.low[k]),
      b = to(matrix.high[k]);
    if (!Number.isFinite(b)) {
      down = false;
      alone += lone;
      lone = '';
      close();
      continue;
    }
    const y = Number.isFinite(a) ? Y((a + b) / 2) : Y(b);
    path += `${down ? 'L' : 'M'}${x} ${y.toFixed(1)}`;
    if (!down) lone = `M${x} ${y.toFixed(1)}h.01`;
    else lone = '';
    down = true;
    if (matrix.pooled) {
      upper.push(`${x} ${Y(b).toFixed(1)}`);
      lower.push(`${x} ${(Number.isFinite(a) ? Y(a) : foot).toFixed(1)}`);
    }
  }
  close();
  return [
    bands.length && svg('path', {d: bands.join(''), class: 'band', style: `fill:${colour};stroke:${colour}`}),
    svg('path', {d: path, class: thin ? 'line thin' : 'line', 'stroke-dasharray': dash, style: `stroke:${colour}`}),
    alone + lone && svg('path', {d: alone + lone, class: 'lone', style: `stroke:${colour}`}),
    ...broken
      .filter(({from, to}) => !marked.some((one) => one.from <= from && to <= one.to) && marked.push({from, to}))
      .map(({from, to, kind}) =>
        svg(
          'g',
          {class: 'broken'},
          svg('rect', {x: from - 1.5, width: to - from + 3, y: top, height: foot - top}),
          svg('rect', {class: 'foot', x: from - 1.5, width: to - from + 3, y: foot - 6, height: 6}),
          svg('text', {x: from + 3, y: foot - 10}, kind),
        ),
      ),
  ].filter(Boolean);
}

/** The names of lines next to their colours. */
export const legend = (lines) =>
  h(
    'div',
    {class: 'legend'},
    lines.map((line) =>
      h('span', null, h('i', {class: line.dash ? 'dashed' : null, style: `--swatch:${line.colour}`}), term(line.name)),
    ),
  );

/** A card with a line chart, and what its lines are called. */
export const chartCard = (title, note, lines, options) =>
  card(
    term(title, options.term),
    note,
    (options.legend ?? lines.length > 1) && legend(lines),
    lineChart(lines, options),
  );
