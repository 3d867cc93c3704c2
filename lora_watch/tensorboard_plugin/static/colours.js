// A colour scale that people with any colour vision can read: viridis.

const STOPS = [
  [68, 1, 84],
  [71, 44, 122],
  [59, 81, 139],
  [44, 113, 142],
  [33, 144, 141],
  [39, 173, 129],
  [92, 200, 99],
  [170, 220, 50],
  [253, 231, 37],
];

/** 256 colours as the little-endian RGBA words of ImageData. */
export const COLOURS = Uint32Array.from({length: 256}, (_, i) => {
  const place = (i / 255) * (STOPS.length - 1),
    k = Math.min(STOPS.length - 2, Math.floor(place)),
    t = place - k;
  const [r, g, b] = [0, 1, 2].map((c) => Math.round(STOPS[k][c] + (STOPS[k + 1][c] - STOPS[k][c]) * t));
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
});

export const GRADIENT = `linear-gradient(90deg,${STOPS.map((stop) => `rgb(${stop})`).join(',')})`;
