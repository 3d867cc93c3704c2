// Asks TensorBoard: a route of plugin.py and its query. See data.js for what it answers.

import {Matrix} from './matrix.js';

/** @param {string} route @param {[string, string][]} query */
export async function ask(route, query) {
  const reply = await fetch(`./${route}?${new URLSearchParams(query)}`).catch(() => {
    throw new Error('TensorBoard does not answer. Is it still running?');
  });
  if (!reply.ok) throw new Error((await reply.json().catch(() => ({}))).error ?? `${route}: HTTP ${reply.status}`);
  return reply.headers.get('content-type')?.includes('json') ? reply.json() : Matrix.parse(await reply.arrayBuffer());
}
