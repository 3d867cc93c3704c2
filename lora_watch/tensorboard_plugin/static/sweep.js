// All runs as one sweep: the quality against the rank, else the scale, where larger no longer pays, what else changed.

import {gridLines, ticks} from './chart.js';
import {card, drawing, em, h, list, num, pressable, split, svg, tip} from './dom.js';

const MOST = 6;

/**
 * What `lora-watch compare` says of the runs, as a picture and in words; null where nothing lines up.
 * @param {import('./app.js').App} app
 */
export function sweepCard(app, comparison, width) {
  const along = comparison.curves[0]?.along;
  if (!along) return null;
  const curves = comparison.curves.filter((curve) => curve.along === along).slice(0, MOST);
  const total = comparison.configurations.reduce((sum, {runs}) => sum + runs.length, 0);
  const page = split(width - 26, [1, 1], 24),
    wide = page.widths[0];
  return card(
    `Quality against ${along === 'r' ? 'rank' : 'scale'}`,
    `${comparison.metric}, ${comparison.higher_is_better ? 'higher' : 'lower'} is better; all ${total} runs`,
    h(
      'div',
      {class: 'sweep', id: 'sweep', style: page.style},
      plot(app, comparison, curves, along, wide),
      h(
        'div',
        null,
        comparison.curves.slice(0, 2 * MOST).map((curve) => [
          h(
            'ul',
            {class: 'words'},
            curve.words.map((line, i) =>
              h(
                'li',
                {class: i ? null : 'head'},
                i || curves.length < 2 || !curves.includes(curve)
                  ? null
                  : h('i', {class: 'swatch', style: `background:${colourOf(curves.indexOf(curve))}`}),
                line,
              ),
            ),
          ),
          list('confounds', curve.confounds),
        ]),
        list('notes', comparison.notes),
      ),
    ),
  );
}

const settingOf = ({r, scale}, seed) => `r ${r}, s ${num(scale)}${seed == null ? '' : `, seed ${seed}`}`;

const colourOf = (i) => `var(--c${1 + (i % 6)})`;

/** @param {import('./app.js').App} app */
function plot(app, comparison, curves, along, width) {
  const plane = planeOf(comparison, curves, along, width);
  const said = `${comparison.metric} against ${along === 'r' ? 'rank' : 'scale'}`;
  const root = drawing('chart', width, plane.height, said, {role: 'group'});
  root.append(...grid(plane, along));
  curves.forEach((curve, k) => {
    root.append(
      ...plateau(curve, plane, colourOf(k)),
      ...means(comparison, curve, plane, colourOf(k)),
      ...curve.configurations.flatMap((i) => dots(app, comparison, i, plane, colourOf(k))),
    );
  });
  return root;
}

/** The runs of a configuration that its mean is of. */
const judged = ({configurations, metric}, i) =>
  configurations[i].runs.filter((run) => run.left_out == null && Number.isFinite(run.quality[metric]));

/** Where a configuration and a quality lie: X(place(i)) and Y(quality), within the edges; a doubling is one wide. */
function planeOf(comparison, curves, along, width) {
  const height = em(230),
    left = em(52),
    right = width - em(16),
    top = em(14),
    foot = height - em(38);
  const place = (i) => Math.log2(comparison.configurations[i][along === 'r' ? 'r' : 'scale']);
  const used = curves.flatMap((curve) => curve.configurations);
  const values = used.flatMap((i) => judged(comparison, i).map((run) => run.quality[comparison.metric]));
  const places = [...new Set(used.map(place))].sort((a, b) => a - b);
  const [lowest, highest] = [Math.min(...values), Math.max(...values)],
    room = (highest - lowest) * 0.1 || Math.abs(highest) * 0.1 || 1;
  const [x0, x1, low, high] = [places[0] - 0.25, places.at(-1) + 0.25, lowest - room, highest + room];
  const X = (x) => left + ((x - x0) / (x1 - x0)) * (right - left),
    Y = (y) => foot - ((y - low) / (high - low)) * (foot - top);
  return {height, left, right, top, foot, places, low, high, place, X, Y};
}

/** Lines and numbers of the quality, numbers and the name of what it is drawn against. */
function grid({height, left, right, top, foot, places, low, high, X, Y}, along) {
  const name = {x: (left + right) / 2, y: height - 6, 'text-anchor': 'middle', class: 'axis-name'};
  return [
    ...gridLines(ticks(low, high, (foot - top) / em(34)), {left, right}, Y),
    ...places.map((x) => svg('text', {x: X(x), y: foot + em(15), 'text-anchor': 'middle'}, num(2 ** x))),
    svg('text', name, along === 'r' ? 'rank r' : 'scale s'),
  ];
}

/** Where a larger rank, or scale, no longer pays. */
function plateau(curve, {top, foot, place, X}, colour) {
  if (curve.plateau == null) return [];
  const from = X(place(curve.plateau)),
    to = X(place(curve.configurations.at(-1)));
  return [
    svg('rect', {class: 'plateau', x: from, y: top, width: to - from, height: foot - top, style: `fill:${colour}`}),
    svg('text', {x: (from + to) / 2, y: foot - 6, 'text-anchor': 'middle'}, curve.turns ? 'no gain' : 'plateau'),
  ];
}

/** The line through the means of a curve, and a ring around the one that is chosen. */
function means({configurations}, curve, {place, X, Y}, colour) {
  const mean = (i) => Y(configurations[i].mean);
  const d = curve.configurations
    .map((i, n) => `${n ? 'L' : 'M'}${X(place(i)).toFixed(1)} ${mean(i).toFixed(1)}`)
    .join('');
  const ring = {cx: X(place(curve.chosen)), cy: mean(curve.chosen), r: 9};
  return [
    svg('path', {class: 'line', style: `stroke:${colour}`, d}),
    svg('circle', {class: 'chosen', ...ring, style: `stroke:${colour}`}),
  ];
}

/**
 * The runs of a configuration; a press on one opens it.
 * @param {import('./app.js').App} app
 */
function dots(app, comparison, i, {place, X, Y}, colour) {
  const {metric, configurations} = comparison;
  return judged(comparison, i).map((run) => {
    const open = () => run.name in app.runs && app.set({run: run.name, adapter: '', step: '', view: 'overview'});
    const quality = run.quality[metric];
    return svg('circle', {
      class: 'dot',
      cx: X(place(i)),
      cy: Y(quality),
      r: 4,
      style: `fill:${colour}`,
      'aria-label': run.name,
      ...pressable(open),
      onpointermove: (event) =>
        tip.show(event, h('b', null, run.name), `${metric} ${num(quality)}`, settingOf(configurations[i], run.seed)),
      onpointerleave: () => tip.hide(),
    });
  });
}
