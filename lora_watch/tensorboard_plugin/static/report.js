// The tab as a page of its own, without a server: what a report of one file begins with.

import {App} from './app.js';
import {embedded} from './embedded.js';
import * as host from './host.js';

host.standAlone();
const held = document.getElementById('answers');
embedded(held?.textContent ?? '').then((answers) => new App(document.body, answers, false).start());
