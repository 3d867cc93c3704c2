// Names of adapters, as short as they can be and still be told apart.

/** `name` in at most `most` letters; what is after its last dot stays whole. */
export function cut(name, most) {
  if (name.length <= most) return name;
  const tail = name.slice(name.lastIndexOf('.') + 1),
    room = most - tail.length - 1;
  return name.includes('.') && room > 1 ? `${name.slice(0, room)}…${tail}` : `${name.slice(0, most - 1)}…`;
}

/**
 * `adapters` {name, layer}, each with its index, its module type and a short name. `given`: names of adapters that may
 * stand at the end of theirs. A type is the module's own name, with as much of its path before it as types of the
 * same layer need: `q_proj`, but `encoder.q_proj` next to `decoder.q_proj`.
 */
export function named(adapters, given) {
  const ownName = ({name}) => given.find((key) => name.endsWith(`.${key}`)) ?? '';
  const several = new Set(adapters.map(ownName)).size > 1;
  const taken = adapters.map((adapter, index) => {
    const own = ownName(adapter),
      path = own ? adapter.name.slice(0, -own.length - 1) : adapter.name;
    const parts = path.split(/\.(?!\d+(?:\.|$))/); // a number stays with what it counts
    const block = parts.findIndex((part) => part.endsWith(`.${adapter.layer}`));
    if (block >= 0) parts[block] = uncounted(parts[block]);
    const last = parts.pop();
    return {adapter, index, front: parts, last, tail: several && own ? ` ${own}` : ''};
  });
  const alike = new Map();
  for (const one of taken) {
    const key = uncounted(one.last) + one.tail;
    if (!alike.has(key)) alike.set(key, []);
    alike.get(key).push(one);
  }
  for (const members of alike.values()) {
    const types = telling(members, ({front, last}) => [front.map(uncounted), uncounted(last)]);
    const enough = new Set(members.map(({adapter}, i) => `${adapter.layer} ${types[i]}`)).size === members.length;
    const full = enough ? types : telling(members, ({front, last}) => [front, last]);
    for (const [i, one] of members.entries()) Object.assign(one, {type: types[i] + one.tail, full: full[i] + one.tail});
  }
  return taken.map(({adapter, index, type, full}) => ({
    ...adapter,
    index,
    type,
    short: adapter.layer == null ? adapter.name : `${adapter.layer} · ${cut(full, 18)}`,
  }));
}

const uncounted = (part) => part.replace(/(\.\d+)+$/, '');

/** The last part of each path, after as many of the parts before it that differ as tell most of them apart. */
function telling(members, split) {
  const paths = members.map(split),
    seen = new Map();
  for (const part of paths.flatMap(([front]) => [...new Set(front)])) seen.set(part, (seen.get(part) ?? 0) + 1);
  const differ = paths.map(([front]) => front.filter((part) => seen.get(part) < members.length));
  const name = (i, depth) => [...differ[i].slice(0, depth), paths[i][1]].join('.');
  const apart = (depth) => new Set(members.map(({adapter}, i) => `${adapter.layer} ${name(i, depth)}`)).size;
  const most = apart(Infinity);
  let depth = 0;
  while (apart(depth) < most) depth++;
  return members.map((_, i) => name(i, depth));
}
