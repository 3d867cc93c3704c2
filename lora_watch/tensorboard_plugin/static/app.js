// The state of the tab, and which view is drawn.

import {drawBar} from './bar.js';
import {discarded} from './chart.js';
import {Data} from './data.js';
import {h, list, tip} from './dom.js';
import * as host from './host.js';
import {press} from './keyboard.js';
import {named} from './names.js';
import {endOf, severityOf} from './overview.js';
import {VIEWS} from './views.js';

const DEFAULTS = {
  view: 'overview',
  run: '',
  metric: '',
  adapter: '',
  step: '',
  from: '',
  to: '',
  alert: '',
};
const FAVOURITES = ['output_ratio', 'relative_spectral_norm', 'relative_norm', 'delta_norm'];
/** How often a tab that is in sight asks whether there is more, in milliseconds. */
const POLL_MS = 5000;

/**
 * What there is `now` and is not `shown`: {words, isHere}, `isHere` where `run` itself has more or nothing was shown;
 * null if nothing is new. Both are answers of /runs. What a run says of its end has the step of its last numbers.
 */
export function newsOf(shown, now, run) {
  const fresh = Object.keys(now).filter((name) => !(name in shown)),
    added = fresh.length ? `${fresh.length} new run${fresh.length > 1 ? 's' : ''}` : null;
  if (fresh.includes(run) || (added && !Object.keys(shown).length)) return {words: added, isHere: true};
  const [before, after] = [shown[run], now[run]];
  if (before && after && after.step !== before.step) return {words: `now at step ${after.step}`, isHere: true};
  if (before && after && after.wall_time !== before.wall_time) return {words: 'more was written', isHere: true};
  return added ? {words: added, isHere: false} : null;
}

export class App {
  /**
   * @param {HTMLElement} body @param {import('./data.js').Ask} ask
   * @param {boolean} live whether there may be more to come: else what is there is all
   */
  constructor(body, ask, live = true) {
    this.data = new Data(ask);
    this.live = live;
    /** @type {Record<string, string>} */
    this.state = {...DEFAULTS};
    this.bar = h('header', {id: 'bar'});
    this.main = h('main', {id: 'view', tabindex: -1});
    this.heading = h('h1', {class: 'unseen'}); // the overview has one that is seen
    this.bar.tabIndex = -1;
    body.append(this.bar, this.main);
    this.bar.focus({preventScroll: true}); // keys work before the first click, and the first Tab leads to the views
    document.documentElement.lang = 'en';
    this.drawing = 0;
    /** @type {Record<string, import('./data.js').Run>} */
    this.runs = {};
    /** @type {import('./data.js').Run} */
    this.run = {metrics: [], series: [], step: 0, wall_time: 0};
    /** @type {import('./data.js').Schema} */
    this.schema = {adapters: [], notes: []};
    /** @type {import('./data.js').Ending} */
    this.ending = {verdict: null, message: null, first: null};
    /** @type {import('./data.js').Alert[]} */
    this.alerts = [];
    this.counts = {};
    /** @type {import('./data.js').Adapter[]} */
    this.adapters = [];
    /** @type {string[]} */
    this.notes = [];
  }

  async start() {
    host.onDark((dark) => {
      this.dark = dark;
      document.documentElement.classList.toggle('dark', dark);
      if (this.shown) this.draw();
    });
    this.#take(host.readAddress());
    host.onAddress((state) => {
      this.wanted = null;
      this.#take(state);
      this.draw();
    });
    addEventListener('keydown', (event) => press(this, event));
    let width = innerWidth,
      timer;
    addEventListener('resize', () => {
      // also when the tab is shown again
      clearTimeout(timer);
      timer = setTimeout(() => {
        if (!innerWidth || innerWidth === width) return;
        width = innerWidth;
        this.draw();
      }, 80);
    });
    addEventListener('pointerdown', () => {
      this.pressed = true;
    });
    addEventListener('pointerup', () => {
      this.pressed = false;
    });
    if (this.live) setInterval(() => this.#follow(), POLL_MS);
    await this.refresh();
  }

  /** Ask the server again for everything that may have grown. */
  async refresh() {
    this.data.forget();
    await this.draw();
  }

  /** What has been written since: drawn at once where the latest step is followed, else a hint next to its button. */
  async #follow() {
    if (document.hidden || !innerWidth || !this.shown || this.loading) return;
    const {run} = this.state;
    const now = await this.data.runsNow().catch(() => this.runs);
    if (run !== this.state.run) return;
    const news = newsOf(this.runs, now, this.wanted?.run ?? run);
    if (news?.isHere && this.#followsTheEnd && !this.pressed) return this.refresh();
    if (!this.pressed && endOf(this.ending, this.run)?.word !== this.endWord) await this.draw(); // silent for long
    if (news?.words === this.newer) return;
    this.newer = news?.words;
    drawBar(this);
  }

  /** The latest step is shown: it is followed, or a link names a step that TensorBoard has not read yet. */
  get #followsTheEnd() {
    const {step, to} = this.state;
    return to === '' && (step === '' || Number(step) > this.lastStep);
  }

  /** Change the state, the address and the picture. Another view or run is another place: "back" leads out of it. */
  set(patch) {
    const {view, run} = this.state;
    this.wanted = null;
    this.#take({...this.state, ...patch});
    this.navigated ||= this.state.view !== view || this.state.run !== run;
    return this.draw();
  }

  #take(state) {
    this.state = Object.fromEntries(Object.entries(DEFAULTS).map(([key, value]) => [key, String(state[key] ?? value)]));
    if (!(this.state.view in VIEWS)) this.state.view = 'overview';
  }

  async draw() {
    const turn = ++this.drawing;
    const {view, run: before} = this.state;
    this.loading = true;
    document.body.setAttribute('aria-busy', 'true');
    const slow = setTimeout(() => {
      if (turn === this.drawing && this.shown && (this.shown !== view || this.shownRun !== before)) this.#wait(view);
    }, 150);
    try {
      this.runs = await this.data.runs();
      if (!Object.keys(this.runs).length)
        return this.#show(
          turn,
          h('p', {class: 'empty-page'}, 'No run here holds LoRA data yet. Add LoraWatchCallback() to the Trainer.'),
        );
      this.#chooseRun();
      const read = await this.#read();
      if (turn !== this.drawing) return;
      await this.#use(read);
      drawBar(this);
      this.#writeAddress();
      const view = await VIEWS[this.state.view].draw(this);
      this.#show(turn, view);
    } catch (error) {
      this.#show(
        turn,
        h(
          'div',
          {class: 'empty-page', role: 'alert'},
          h('p', null, `This view could not be drawn: ${/** @type {Error} */ (error).message}`),
          h('button', {id: 'again', class: 'quiet', onclick: () => this.refresh()}, 'Try again'),
        ),
      );
    } finally {
      clearTimeout(slow);
    }
  }

  /**
   * The run that the address wants, once TensorBoard has read it; until then the latest. A page shows the worst one, and
   * several of which none is bad side by side.
   */
  #chooseRun() {
    if (this.wanted && this.wanted.run in this.runs) {
      [this.state, this.wanted] = [this.wanted, null]; // TensorBoard has read it since
    }
    if (this.state.run in this.runs) return;
    if (this.state.run) this.wanted ??= this.state;
    const weight = ({verdict, wall_time: time}) => [this.live ? 0 : severityOf(verdict), time],
      comesAfter = (a, b) => weight(a)[0] - weight(b)[0] || weight(a)[1] - weight(b)[1];
    const run = Object.keys(this.runs).reduce((a, b) => (comesAfter(this.runs[b], this.runs[a]) > 0 ? b : a)),
      isWell = !this.live && !severityOf(this.runs[run].verdict) && this.runNames.length > 1;
    this.#take({
      ...(this.wanted ? {view: this.state.view} : this.state), // the rest is about the run that is wanted
      ...(isWell && this.state.view === DEFAULTS.view ? {view: 'compare'} : {}),
      run,
    });
  }

  /** What is known of the run, whichever view shows it. */
  async #read() {
    const run = this.state.run;
    const [schema, found, ending] = await Promise.all([
      this.data.schema(run),
      this.data.alerts(run),
      this.data.verdict(run),
    ]);
    return {schema, found, ending};
  }

  async #use({schema, found, ending}) {
    this.schema = schema;
    this.ending = ending;
    this.alerts = found.alerts;
    this.counts = found.counts;
    this.notes = [...schema.notes, ...found.notes];
    this.run = this.runs[this.state.run];
    this.adapters = await this.#adapters(schema);
    this.missing = this.#missing();
    const metrics = this.run.metrics;
    if (!metrics.includes(this.state.metric))
      this.state.metric = FAVOURITES.find((name) => metrics.includes(name)) ?? metrics[0] ?? '';
    this.endWord = endOf(ending, this.run)?.word;
    this.newer = undefined;
  }

  /** What the address asks for and is not there, in words; null if all of it is. */
  #missing() {
    const {adapter} = this.state;
    if (this.wanted)
      return `There is no run “${this.wanted.run}” here, or TensorBoard has not read it yet. This is the latest one.`;
    if (adapter && !this.adapters.some(({name}) => name === adapter)) return `This run has no adapter “${adapter}”.`;
    if (!this.adapters.length) return 'This run has no adapters: nothing but its loss and rates is known.';
    return null;
  }

  #writeAddress() {
    if (!this.wanted)
      host.writeAddress(
        Object.fromEntries(Object.entries(this.state).filter(([key, value]) => value !== DEFAULTS[key])),
        this.navigated,
      );
    this.navigated = false;
  }

  /** In place of another view or run, which would be taken for the one that is wanted. */
  #wait(view) {
    const of = view === 'compare' ? ` and ${Object.keys(this.runs ?? {}).length} runs` : '';
    this.main.replaceChildren(
      h(
        'div',
        {class: 'empty-page', role: 'status', id: 'loading'},
        `Reading ${VIEWS[view].title.toLowerCase()}${of} …`,
        h('progress'),
      ),
    );
  }

  #show(turn, view) {
    if (turn !== this.drawing) return;
    const id = document.activeElement?.id,
      scroll = this.main.scrollTop;
    tip.hide();
    const missing = list('notes', [this.missing ?? []].flat());
    this.main.replaceChildren(...h('div', null, missing, view, list('notes', this.notes ?? [])).childNodes);
    if (id && document.activeElement?.id !== id) document.getElementById(id)?.focus({preventScroll: true});
    // What had the focus is gone: go on here.
    if (document.activeElement === document.body) this.main.focus({preventScroll: true});
    this.main.scrollTop = this.shown === this.state.view ? scroll : 0;
    this.heading.textContent = document.title = `LoRA: ${VIEWS[this.state.view].title}, ${this.state.run}`;
    this.shown = this.state.view;
    this.shownRun = this.state.run;
    this.loading = false;
    document.body.removeAttribute('aria-busy');
    document.body.dataset.ready = this.state.view;
    document.dispatchEvent(new CustomEvent('lora-watch-drawn'));
  }

  /** The schema's adapters, each with its index, its module type and a short name; numbered if there is no schema. */
  async #adapters(schema) {
    let adapters = schema.adapters;
    if (!adapters.length && this.run.metrics.length) {
      const {n} = await this.data.metric(this.state.run, this.run.metrics[0], {max_cols: 1});
      adapters = Array.from({length: n}, (_, i) => ({name: `adapter ${i}`}));
    }
    return named(adapters);
  }

  // -- what the views ask -------------------------------------------------------------------------------------------
  get lastStep() {
    return this.run.step;
  }
  get runNames() {
    return Object.keys(this.runs).sort((a, b) => a.localeCompare(b, undefined, {numeric: true}));
  }
  /** The chosen step, or the last one before it that is `held`; the latest one unless one that is there was chosen. */
  get step() {
    const chosen = Number(this.state.step);
    if (this.state.step === '' || !(chosen >= 0 && chosen < this.lastStep)) return this.lastStep;
    return this.run.held?.findLast((held) => held <= chosen) ?? Math.floor(chosen);
  }
  get adapter() {
    return this.adapters.find((adapter) => adapter.name === this.state.adapter) ?? this.#suspect ?? this.adapters[0];
  }
  /** The first adapter of the alert to show first. */
  get #suspect() {
    const named = this.alerts[this.ending.first ?? -1]?.adapters?.[0]?.name;
    return this.adapters.find((adapter) => adapter.name === named);
  }
  get width() {
    const {paddingLeft, paddingRight} = getComputedStyle(this.main);
    return Math.max(280, this.main.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight));
  }

  metric(metric, window) {
    return this.data.metric(this.state.run, metric, window);
  }
  /** Null if the run has no such metric or series. */
  async spread(metric, window, run = this.state.run) {
    return this.runs[run].metrics.includes(metric) ? this.data.spread(run, metric, window) : null;
  }
  async series(name, window, run = this.state.run) {
    return this.runs[run].series.includes(name) ? this.data.scalars(run, name, window) : null;
  }

  /** Series by their names; null for one that the run has not. */
  async seriesOf(names, window, run = this.state.run) {
    const series = await Promise.all(names.map((name) => this.series(name, window, run)));
    return Object.fromEntries(names.map((name, i) => [name, series[i]]));
  }

  /** Steps to fetch for charts, and the range of their axis. */
  window(max_cols) {
    return {max_cols, from: this.state.from, to: this.state.to};
  }
  range(last = this.lastStep) {
    const {from, to} = this.state;
    return [from === '' ? 0 : Number(from), to === '' ? Math.max(1, last) : Number(to)];
  }
  /** What all charts over the steps of the run have in common. */
  get charting() {
    const {step, setStep: onStep, zoom: onZoom} = this;
    return {step, onStep, onZoom, range: this.range(), discarded: discarded(this.alerts)};
  }
  zoom = (/** @type {number} */ from, /** @type {number} */ to) => this.set({from, to});

  setStep = (step) => {
    const there = (step > this.step && this.run.held?.find((held) => held >= step)) || step;
    return this.set({step: there >= this.lastStep ? '' : Math.max(0, there)});
  };

  /** The adapter before or after the one that is shown. */
  moveAdapter = (by) => {
    const n = this.adapters.length;
    return n && this.set({adapter: this.adapters[(this.adapter.index + by + n) % n].name});
  };

  /** Another run, as it ended. */
  openRun = (run, view = this.state.view) => this.set({view, run, adapter: '', step: '', from: '', to: '', alert: ''});

  /** Go to the cause of an alert: its step, its worst adapter, its metric, in whatever view comes next. */
  openAlert = (alert, view = this.state.view) =>
    this.set({
      view,
      step: alert.step,
      alert: `${alert.rule}@${alert.step}`,
      adapter: alert.adapters?.[0]?.name ?? this.state.adapter,
      metric: this.run.metrics.includes(alert.metric) ? alert.metric : this.state.metric,
      from: '',
      to: '',
    });
}
