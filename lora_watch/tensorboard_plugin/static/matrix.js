// Numbers by step, as plugin.py sends them: columns of one or more steps, with their extremes.

export const NAN = 1;
export const INF = 2;
export const UNKNOWN = 4;

export const flagWords = (flag) =>
  flag & UNKNOWN ? 'not measured' : [flag & NAN && 'NaN', flag & INF && 'Inf'].filter(Boolean).join(' and ');

/** Columns of one or more steps each, of `n` numbers each. */
export class Matrix {
  /** `low`, `high` and `flags`: [columns, n]; the first two are one where every column is a single step. */
  constructor(header, low, high, flags) {
    const [columns, n] = header.shape;
    this.columns = columns;
    this.n = n;
    this.first = Float64Array.from(header.first);
    this.last = Float64Array.from(header.last);
    this.pooled = header.pooled;
    this.width = header.width;
    this.notes = header.notes;
    this.low = low;
    this.high = high;
    this.flags = flags;
    this.bytes = (low === high ? 5 : 9) * flags.length;
    /** The run's last step, where what was measured last still holds. @type {number | undefined} */
    this.until = undefined;
  }

  /** What plugin.py sends: see pooling.py. */
  static parse(buffer) {
    const length = new DataView(buffer).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
    const [columns, n] = header.shape,
      cells = columns * n,
      bytes = new Uint8Array(buffer, 4 + length);
    /** From what is of one item together, by bytes of equal weight, to [column, item]. */
    const turned = (at, width) => {
      const out = new Uint8Array(width * cells);
      for (let byte = 0; byte < width; byte++)
        for (let i = 0; i < n; i++) for (let c = 0; c < columns; c++) out[width * (c * n + i) + byte] = bytes[at++];
      return out;
    };
    const low = new Float32Array(turned(0, 4).buffer),
      high = header.pooled ? new Float32Array(turned(4 * cells, 4).buffer) : low;
    return new Matrix(header, low, high, turned((header.pooled ? 8 : 4) * cells, 1));
  }

  /** A part of it: the columns that touch the steps [from, to], one item alone. */
  window({from = -Infinity, to = Infinity, adapter}) {
    const columns = Array.from(this.first.keys()).filter((c) => this.last[c] >= from && this.first[c] <= to),
      items = adapter == null ? Array.from({length: this.n}, (_, i) => i) : [adapter],
      at = columns.flatMap((c) => items.map((i) => c * this.n + i)),
      taken = (plane) => plane.constructor.from(at, (k) => plane[k]),
      low = taken(this.low);
    const header = {
      ...this,
      shape: [columns.length, items.length],
      first: columns.map((c) => this.first[c]),
      last: columns.map((c) => this.last[c]),
    };
    return new Matrix(header, low, this.pooled ? taken(this.high) : low, taken(this.flags));
  }

  /** The column that holds `step`, or the last one before it; 0 before all of them. */
  columnOf(step) {
    let low = 0,
      high = this.columns - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.first[middle] <= step) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** The number of item `i` at or before `step`. Undefined if none was measured, and in a column of several steps. */
  at(step, i = 0) {
    if (!this.columns || this.first[0] > step) return undefined;
    const column = this.columnOf(step),
      k = column * this.n + i;
    return this.flags[k] & UNKNOWN || this.first[column] < this.last[column] ? undefined : this.high[k];
  }

  /** The last step of the axis: until then the last column lasts. */
  get end() {
    return Math.max(this.until ?? 0, this.last[this.columns - 1]);
  }

  /** How far along the axis a column begins, 0 to 1; 1 for the one after the last. Each lasts until the next. */
  place(column) {
    const from = this.first[0],
      bins = Math.ceil((this.end - from + 1) / this.width);
    return column >= this.columns ? 1 : (this.first[column] - from) / (bins * this.width);
  }

  /** The step at a share of that axis. */
  stepAt(share) {
    const from = this.first[0],
      bins = Math.ceil((this.end - from + 1) / this.width);
    return Math.floor(from + Math.max(0, Math.min(0.999999, share)) * bins * this.width);
  }

  /** Words for a cell: a number, a range, what is wrong in it. */
  say(column, i, format) {
    const k = column * this.n + i,
      low = this.low[k],
      high = this.high[k],
      flag = this.flags[k];
    const numbers = Number.isFinite(high) ? (low === high ? format(high) : `${format(low)} … ${format(high)}`) : '';
    return [numbers, flag && flagWords(flag)].filter(Boolean).join(', ');
  }

  steps(column) {
    const first = this.first[column],
      last = this.last[column];
    return first === last ? `step ${first}` : `steps ${first}–${last}`;
  }
}
