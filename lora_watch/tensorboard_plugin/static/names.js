// Names of adapters, as short as they can be and still be told apart.

/** `name` in at most `most` letters; what is after its last dot stays whole. */
export function cut(name, most) {
  if (name.length <= most) return name;
  const tail = name.slice(name.lastIndexOf('.') + 1),
    room = most - tail.length - 1;
  return name.includes('.') && room > 1 ? `${name.slice(0, room)}…${tail}` : `${name.slice(0, most - 1)}…`;
}

/**
 * `adapters` {name, layer}, each with its index, its module type and a short name. A type is the end of the adapter's
 * name, as long as it must be for one adapter of the layer to have it.
 */
export function named(adapters) {
  const forms = adapters.map(({name, layer}) => [
    name.slice(name.lastIndexOf('.') + 1),
    name.slice(name.indexOf(`.${layer}.`) + 1).replace(`${layer}.`, ''),
    name.replace(`.${layer}.`, '.'),
  ]);
  const key = (layer, text, form) => JSON.stringify([layer, text, form]);
  const count = new Map();
  for (const [i, {layer}] of adapters.entries())
    for (const [form, text] of forms[i].entries())
      count.set(key(layer, text, form), (count.get(key(layer, text, form)) ?? 0) + 1);
  return adapters.map((adapter, index) => {
    const {name, layer} = adapter;
    const type = forms[index].find((text, form) => count.get(key(layer, text, form)) === 1) ?? name;
    return {...adapter, index, type, short: layer == null ? name : `${layer} · ${cut(type, 18)}`};
  });
}
