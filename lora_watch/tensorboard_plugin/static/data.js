// What the server has, fetched once. Matrices arrive in binary; see plugin.py for the format.

export const NAN = 1,
  INF = 2,
  UNKNOWN = 4;
const BUDGET = 100 * 2 ** 20; // bytes of matrices kept in the page

export const flagWords = (flag) =>
  flag & UNKNOWN ? 'not measured' : [flag & NAN && 'NaN', flag & INF && 'Inf'].filter(Boolean).join(' and ');

/** Columns of one or more steps each, of `n` numbers each. */
export class Matrix {
  constructor(buffer) {
    const length = new DataView(buffer).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
    const [columns, n] = header.shape;
    const cells = columns * n;
    let at = 4 + length;
    this.first = Float64Array.from(header.first);
    this.last = Float64Array.from(header.last);
    this.columns = columns;
    this.n = n;
    this.pooled = header.pooled;
    this.width = header.width;
    this.rows = header.rows;
    this.range = header.range;
    this.notes = header.notes;
    this.low = new Float32Array(buffer, at, cells);
    if (header.pooled) at += 4 * cells;
    this.high = new Float32Array(buffer, at, cells);
    this.flags = new Uint8Array(buffer, at + 4 * cells, cells);
    this.bytes = buffer.byteLength;
    /** The run's last step, where what was measured last still holds. @type {number | undefined} */
    this.until = undefined;
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

  /** The number of item `i` at or before `step`: the column's highest. Undefined if none was measured. */
  at(step, i = 0) {
    if (!this.columns || this.first[0] > step) return undefined;
    const k = this.columnOf(step) * this.n + i;
    return this.flags[k] & UNKNOWN ? undefined : this.high[k];
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

/**
 * What the routes of plugin.py answer.
 * @typedef {{metrics: string[], series: string[], step: number, wall_time: number}} Run
 * @typedef {{name: string, index: number, type: string, short: string, layer?: number, kind?: string, r?: number,
 *   alpha?: number, scale?: number, scale_formula?: string, group?: number, trainable?: number, d_out?: number,
 *   d_in?: number, base_norm?: number | string, base_spectral_norm?: number | string}} Adapter
 * @typedef {{rule: string, name: string, severity: string, step: number, message: string, last_step: number,
 *   closed_step: number | null, metric?: string, threshold?: number, causes?: string[],
 *   remedies?: string[], settings?: Record<string, number>,
 *   adapters?: {name: string, value: number | null, text?: string}[]}} Alert
 * @typedef {{name: string, severity: string | null, text: string}} Zone
 * @typedef {{adapters: Adapter[], notes: string[], zones?: Zone[], max_steps?: number, peak_lr?: number[],
 *   optimizer?: string, config?: Record<string, any>, versions?: Record<string, string>,
 *   rules?: {id: string, name: string, severity: string, explains?: string}[]}} Schema
 * @typedef {{verdict: string | null, message: string | null, first: number | null}} Told
 */

export class Data {
  /** The run whose metrics have all been fetched. @type {string | undefined} */
  prefetched;
  #kept = new Map();
  #sizes = new WeakMap();
  #age = 0;

  /** Forget what may have grown. */
  forget() {
    this.#kept.clear();
    this.#age++;
  }

  runs() {
    return this.#get('runs', {}, json);
  }
  /** Asked anew each time, and not kept. */
  async runsNow() {
    return (await fetch('./runs?')).json();
  }
  schema(run) {
    return this.#get('schema', {run}, json);
  }
  alerts(run) {
    return this.#get('alerts', {run}, json);
  }
  /** `step`: of which the alert to show first is asked; the latest without it. */
  verdict(run, step) {
    return this.#get('verdict', {run, step}, json);
  }
  sweep() {
    return this.#get('sweep', {}, json);
  }
  spectrum(run, adapter, step) {
    return this.#get('spectrum', {run, adapter, step}, json);
  }
  /** `window`: {from, to, max_cols, adapter}, each optional. */
  metric(run, metric, window) {
    return this.#get('metric', {run, metric, ...window}, binary);
  }
  spread(run, metric, window) {
    return this.#get('spread', {run, metric, ...window}, binary);
  }
  scalars(run, name, window) {
    return this.#get('scalars', {run, name, ...window}, binary);
  }

  async #get(route, query, decode) {
    const given = Object.entries(query).filter(([, value]) => value != null && value !== '');
    const url = `./${route}?${new URLSearchParams(given)}`;
    if (this.#kept.has(url)) {
      const value = this.#kept.get(url);
      this.#kept.delete(url); // the map keeps the order of use
      this.#kept.set(url, value);
      return value;
    }
    const age = this.#age;
    const promise = fetch(url)
      .catch(() => {
        throw new Error('TensorBoard does not answer. Is it still running?');
      })
      .then(async (reply) => {
        if (!reply.ok)
          throw new Error((await reply.json().catch(() => ({}))).error ?? `${route}: HTTP ${reply.status}`);
        return decode(reply);
      });
    this.#kept.set(url, promise);
    try {
      const value = await promise;
      this.#sizes.set(promise, value.bytes ?? 0);
      if (age === this.#age) this.#trim();
      return value;
    } catch (error) {
      if (this.#kept.get(url) === promise) this.#kept.delete(url);
      throw error;
    }
  }

  #trim() {
    const size = (promise) => this.#sizes.get(promise) ?? 0;
    let total = 0;
    for (const promise of this.#kept.values()) total += size(promise);
    for (const [url, promise] of this.#kept) {
      if (total <= BUDGET) break;
      total -= size(promise);
      this.#kept.delete(url);
    }
  }
}

const json = (reply) => reply.json();
const binary = async (reply) => new Matrix(await reply.arrayBuffer());
