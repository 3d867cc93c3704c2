// What is drawn, as files: numbers as CSV, pictures as PNG.
import {h} from './dom.js';

/** One cell of CSV; a text that a spreadsheet would run as a formula is quoted. */
const cell = (value) => {
  const text = value == null ? '' : String(value);
  const safe = typeof value === 'string' && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

/**
 * The lines of a chart as CSV: a row for each stretch of steps of any line; of stretches of several steps the lowest
 * and the highest number. Lines are {name, matrix, column = 0}.
 */
export function csvOf(lines) {
  const used = lines.filter(({matrix}) => matrix?.columns);
  const several = used.some(({matrix}) => matrix.pooled);
  const rows = new Map(); // by first and last step
  for (const [i, {matrix, column = 0}] of used.entries()) {
    for (let c = 0; c < matrix.columns; c++) {
      const key = `${matrix.first[c]} ${matrix.last[c]}`;
      if (!rows.has(key)) rows.set(key, {first: matrix.first[c], last: matrix.last[c], cells: []});
      const k = c * matrix.n + column;
      rows.get(key).cells[i] = matrix.flags[k] & 4 ? null : [matrix.low[k], matrix.high[k]];
    }
  }
  const names = used.flatMap(({name}) => (several ? [`${name} lowest`, `${name} highest`] : [name]));
  const head = [...(several ? ['first step', 'last step'] : ['step']), ...names];
  const body = [...rows.values()]
    .sort((a, b) => a.first - b.first || a.last - b.last)
    .map(({first, last, cells}) => [
      ...(several ? [first, last] : [first]),
      ...used.flatMap((_, i) => (several ? (cells[i] ?? [null, null]) : [cells[i]?.[1]])),
    ]);
  return tableOf([head, ...body]);
}

/** Rows as CSV. */
export const tableOf = (rows) => rows.map((row) => `${row.map(cell).join(',')}\n`).join('');

function save(blob, name) {
  const link = h('a', {href: URL.createObjectURL(blob), download: name.replaceAll(/[^\p{L}\p{N}._-]+/gu, '-')});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const STYLES = ['fill', 'stroke', 'stroke-width', 'stroke-dasharray', 'stroke-opacity', 'opacity', 'display'];
const FONTS = ['font-family', 'font-size', 'font-weight', 'letter-spacing', 'text-anchor', 'paint-order'];

/** A chart on the page's own ground, twice as large as on the screen. */
async function pictureOf(chart) {
  const {width, height} = chart.getBoundingClientRect();
  const paper = h('canvas', {width: Math.round(2 * width), height: Math.round(2 * height)});
  const brush = paper.getContext('2d');
  brush.fillStyle = getComputedStyle(chart.closest('.card') ?? document.body).backgroundColor;
  brush.fillRect(0, 0, paper.width, paper.height);
  if (chart instanceof HTMLCanvasElement) {
    brush.drawImage(chart, 0, 0, paper.width, paper.height);
  } else {
    const copy = chart.cloneNode(true);
    const originals = chart.querySelectorAll('*');
    for (const [i, element] of copy.querySelectorAll('*').entries()) {
      const style = getComputedStyle(originals[i]);
      for (const name of [...STYLES, ...FONTS]) element.style.setProperty(name, style.getPropertyValue(name));
    }
    copy.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
    const image = new Image();
    image.src = `data:image/svg+xml,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}`;
    await image.decode();
    brush.drawImage(image, 0, 0, paper.width, paper.height);
  }
  return new Promise((done) => paper.toBlob(done));
}

/** Two buttons that save what their card shows: its numbers as CSV, which `table` makes, and its picture as PNG. */
export const exportButtons = (name, table) =>
  h(
    'span',
    {class: 'export'},
    h(
      'button',
      {class: 'csv', title: `save ${name} as CSV`, onclick: () => save(new Blob([table()]), `${name}.csv`)},
      'CSV',
    ),
    h(
      'button',
      {
        class: 'png',
        title: `save ${name} as PNG`,
        onclick: async ({currentTarget}) => {
          const chart = currentTarget.closest('.card').querySelector('svg.chart, svg.picture, #heat');
          save(await pictureOf(chart), `${name}.png`);
        },
      },
      'PNG',
    ),
  );
