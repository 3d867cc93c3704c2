// Colour scales that people with any colour vision can read, for the light and the dark page.

const VIRIDIS = [
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
const DIVERGING = {
  light: [
    [8, 64, 129],
    [49, 130, 189],
    [158, 202, 225],
    [244, 244, 242],
    [253, 190, 133],
    [230, 97, 1],
    [140, 45, 4],
  ],
  dark: [
    [120, 200, 255],
    [66, 146, 198],
    [38, 84, 124],
    [40, 44, 52],
    [140, 71, 22],
    [235, 120, 30],
    [255, 205, 120],
  ],
};

function ramp(stops) {
  const table = new Uint32Array(256);
  for (let i = 0; i < 256; i++) {
    const place = (i / 255) * (stops.length - 1),
      k = Math.min(stops.length - 2, Math.floor(place)),
      t = place - k;
    const [r, g, b] = [0, 1, 2].map((c) => Math.round(stops[k][c] + (stops[k + 1][c] - stops[k][c]) * t));
    table[i] = ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
  }
  return table;
}

const css = (stops) => `linear-gradient(90deg,${stops.map((stop) => `rgb(${stop})`).join(',')})`;
const stopsOf = (kind, dark) => (kind === 'diverging' ? DIVERGING[dark ? 'dark' : 'light'] : VIRIDIS);

/** 256 colours as the little-endian RGBA words of ImageData. */
export const table = (kind, dark) => ramp(stopsOf(kind, dark));
export const gradient = (kind, dark) => css(stopsOf(kind, dark));
