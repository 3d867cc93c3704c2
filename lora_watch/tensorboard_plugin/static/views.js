// The views, in the order of their tabs.

import * as alerts from './alerts.js';
import * as compare from './compare.js';
import * as heatmap from './heatmap.js';
import * as layer from './layer.js';
import * as overview from './overview.js';

export const VIEWS = {overview, heatmap, layer, alerts, compare};
