// What there is to show, asked for once and kept.

import {RECOVERED} from './dom.js';

const BUDGET = 100 * 2 ** 20; // bytes of matrices kept in the page

/**
 * What the routes of plugin.py answer.
 * @typedef {{metrics: string[], series: string[], step: number, wall_time: number, verdict?: string | null,
 *   message?: string | null, held?: number[]}} Run `held`: the steps of which a report has the numbers, where not of all
 * @typedef {{name: string, index: number, type: string, short: string, layer?: number, kind?: string, r?: number,
 *   alpha?: number, scale?: number, scale_formula?: string, group?: number, trainable?: number, d_out?: number,
 *   d_in?: number, base_norm?: number | string, base_spectral_norm?: number | string}} Adapter
 * @typedef {{rule: string, name: string, severity: string, step: number, message: string, last_step: number,
 *   closed_step: number | null, metric?: string, threshold?: number, causes?: string[],
 *   details?: string, graver_at?: number | null, remedies?: string[], next_run?: {text: string} | null, back_to?: number | null,
 *   recovered_from?: boolean,
 *   adapters?: {name: string, value: number | null, text?: string}[]}} Alert
 * @typedef {{name: string, severity: string | null, text: string}} Zone
 * @typedef {{adapters: Adapter[], notes: string[], zones?: Zone[], max_steps?: number, peak_lr?: number[], lr_factor?: number,
 *   optimizer?: string, config?: Record<string, any>, versions?: Record<string, string>,
 *   rules?: {id: string, name: string, severity: string, explains?: string, thresholds?: Record<string, number>}[]}} Schema
 * @typedef {{verdict: string | null, message: string | null, next_run?: {text: string} | null,
 *   besides?: string | null, first: number | null}} Ending
 */

/** @typedef {(route: string, query: [string, string][]) => Promise<any>} Ask who answers a route: a Matrix, or JSON */

export class Data {
  #ask;
  #kept = new Map();
  #sizes = new WeakMap();
  #age = 0;

  /** @param {Ask} ask */
  constructor(ask) {
    this.#ask = ask;
  }

  /** Forget what may have grown. */
  forget() {
    this.#kept.clear();
    this.#age++;
  }

  runs() {
    return this.#get('runs', {});
  }
  /** Asked anew each time, and not kept. */
  runsNow() {
    return this.#ask('runs', []);
  }
  schema(run) {
    return this.#get('schema', {run});
  }
  async alerts(run) {
    const {alerts, ...more} = await this.#get('alerts', {run});
    return {...more, alerts: alerts.map((alert) => (alert.recovered_from ? {...alert, severity: RECOVERED} : alert))};
  }
  /** `step`: of which the alert to show first is asked; the latest without it. */
  verdict(run, step) {
    return this.#get('verdict', {run, step});
  }
  /** `window`: {from, to, max_cols, adapter}, each optional; or {at, adapter}: the numbers that hold at these steps. */
  metric(run, metric, window) {
    return this.#get('metric', {run, metric, ...window});
  }
  spread(run, metric, window) {
    return this.#get('spread', {run, metric, ...window});
  }
  scalars(run, name, window) {
    return this.#get('scalars', {run, name, ...window});
  }

  async #get(route, query) {
    /** @type {[string, string][]} */
    const given = Object.entries(query)
      .filter(([, value]) => value != null && value !== '')
      .map(([key, value]) => [key, String(value)]);
    const url = `${route}?${new URLSearchParams(given)}`;
    if (this.#kept.has(url)) {
      const value = this.#kept.get(url);
      this.#kept.delete(url); // the map keeps the order of use
      this.#kept.set(url, value);
      return value;
    }
    const age = this.#age;
    const promise = this.#ask(route, given);
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
