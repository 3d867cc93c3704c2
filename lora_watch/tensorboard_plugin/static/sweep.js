// All runs as one sweep: the quality against the rank, else the scale, where larger no longer pays, what else changed.

import {ticks} from './chart.js';
import {card, em, h, num, plain, pressable, split, svg, tip} from './dom.js';

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
          curve.confounds.length
            ? h(
                'ul',
                {class: 'confounds'},
                curve.confounds.map((line) => h('li', null, line)),
              )
            : null,
        ]),
        comparison.notes.length
          ? h(
              'ul',
              {class: 'notes'},
              comparison.notes.map((line) => h('li', null, line)),
            )
          : null,
      ),
    ),
  );
}

const settingOf = ({r, scale}, seed) => `r ${r}, s ${num(scale)}${seed == null ? '' : `, seed ${seed}`}`;

const colourOf = (i) => `var(--c${1 + (i % 6)})`;

/** @param {import('./app.js').App} app */
function plot(app, comparison, curves, along, width) {
  const PAD = {left: em(52), right: em(16), top: em(14), bottom: em(38)},
    height = em(230),
    W = width - PAD.left - PAD.right,
    H = height - PAD.top - PAD.bottom,
    foot = PAD.top + H;
  const place = (i) => Math.log2(comparison.configurations[i][along === 'r' ? 'r' : 'scale']);
  const runs = (i) =>
    comparison.configurations[i].runs.filter(
      (run) => run.left_out == null && Number.isFinite(run.quality[comparison.metric]),
    );
  const values = curves.flatMap((curve) =>
    curve.configurations.flatMap((i) => runs(i).map((run) => run.quality[comparison.metric])),
  );
  const places = [...new Set(curves.flatMap((curve) => curve.configurations.map(place)))].sort((a, b) => a - b);
  const [low, high] = [Math.min(...values), Math.max(...values)],
    room = (high - low) * 0.1 || Math.abs(high) * 0.1 || 1;
  const [x0, x1, y0, y1] = [places[0] - 0.25, places.at(-1) + 0.25, low - room, high + room];
  const X = (x) => PAD.left + ((x - x0) / (x1 - x0)) * W,
    Y = (y) => foot - ((y - y0) / (y1 - y0)) * H;
  const root = svg('svg', {
    class: 'chart',
    width,
    height,
    role: 'group',
    'aria-label': `${comparison.metric} against ${along === 'r' ? 'rank' : 'scale'}`,
  });
  for (const value of ticks(y0, y1, H / em(34))) {
    root.append(
      svg('line', {x1: PAD.left, x2: width - PAD.right, y1: Y(value), y2: Y(value), class: 'grid'}),
      svg('text', {x: PAD.left - 6, y: Y(value) + em(4), 'text-anchor': 'end'}, plain(value)),
    );
  }
  for (const x of places) root.append(svg('text', {x: X(x), y: foot + em(15), 'text-anchor': 'middle'}, num(2 ** x)));
  root.append(
    svg(
      'text',
      {x: PAD.left + W / 2, y: height - 6, 'text-anchor': 'middle', class: 'axis-name'},
      along === 'r' ? 'rank r' : 'scale s',
    ),
  );
  curves.forEach((curve, k) => {
    const colour = colourOf(k),
      mean = (i) => comparison.configurations[i].mean;
    if (curve.plateau != null) {
      const from = X(place(curve.plateau)),
        to = X(place(curve.configurations.at(-1)));
      root.append(
        svg('rect', {class: 'plateau', x: from, y: PAD.top, width: to - from, height: H, style: `fill:${colour}`}),
        svg('text', {x: (from + to) / 2, y: foot - 6, 'text-anchor': 'middle'}, curve.turns ? 'no gain' : 'plateau'),
      );
    }
    root.append(
      svg('path', {
        class: 'line',
        style: `stroke:${colour}`,
        d: curve.configurations
          .map((i, n) => `${n ? 'L' : 'M'}${X(place(i)).toFixed(1)} ${Y(mean(i)).toFixed(1)}`)
          .join(''),
      }),
      svg('circle', {
        class: 'chosen',
        cx: X(place(curve.chosen)),
        cy: Y(mean(curve.chosen)),
        r: 9,
        style: `stroke:${colour}`,
      }),
    );
    for (const i of curve.configurations) {
      for (const run of runs(i)) {
        const open = () => run.name in app.runs && app.set({run: run.name, adapter: '', step: '', view: 'overview'});
        root.append(
          svg('circle', {
            class: 'dot',
            cx: X(place(i)),
            cy: Y(run.quality[comparison.metric]),
            r: 4,
            style: `fill:${colour}`,
            'aria-label': run.name,
            ...pressable(open),
            onpointermove: (event) =>
              tip.show(
                event,
                h('b', null, run.name),
                `${comparison.metric} ${num(run.quality[comparison.metric])}`,
                settingOf(comparison.configurations[i], run.seed),
              ),
            onpointerleave: () => tip.hide(),
          }),
        );
      }
    }
  });
  return root;
}
