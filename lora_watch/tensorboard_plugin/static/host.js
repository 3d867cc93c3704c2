// The page around the frame: TensorBoard. It has no stable API for plugins, so each use here has a fallback.

const PLUGIN = 'lora_watch';
const PREFIX = `p.${PLUGIN}.`;

let alone = false;
/** This page is no frame of TensorBoard's, whatever is around it. */
export function standAlone() {
  alone = true;
}

/** The window whose address the user sees; the frame's own if the parent is out of reach. */
function outer() {
  if (alone) return window;
  try {
    void window.parent.location.hash;
    return window.parent;
  } catch {
    return window;
  }
}

/** Calls back with true or false, now and whenever TensorBoard's dark mode changes. */
export function onDark(listener) {
  const own = () => {
    const query = matchMedia('(prefers-color-scheme: dark)');
    query.addEventListener('change', () => listener(query.matches));
    listener(query.matches);
  };
  if (alone) return own();
  try {
    const body = window.parent.document.body;
    const tell = () => listener(body.classList.contains('dark-mode'));
    new MutationObserver(tell).observe(body, {attributes: true, attributeFilter: ['class']});
    tell();
  } catch {
    own();
  }
}

const parts = () => outer().location.hash.replace(/^#/, '').split('&');
/** Whether the address is this tab's: TensorBoard keeps what it says of one tab while another is open. */
const ours = () => ['', PLUGIN].includes(parts()[0]);

/** What the address says of this tab: a plain object of strings. */
export function readAddress() {
  const found = {};
  for (const part of parts()) {
    if (!part.startsWith(PREFIX)) continue;
    const [key, value = ''] = part.slice(PREFIX.length).split('=');
    try {
      found[key] = decodeURIComponent(value.replaceAll('+', ' '));
    } catch {
      /* not ours to mend */
    }
  }
  return found;
}

/** Puts `state` into the address, as a new entry of the history if it is a new `place`; leaves what others own. */
export function writeAddress(state, place) {
  if (!ours()) return;
  const others = parts().filter((part, i) => i > 0 && part && !part.startsWith(PREFIX));
  const own = Object.entries(state)
    .filter(([, value]) => value !== '' && value != null)
    .map(([key, value]) => `${PREFIX}${key}=${encodeURIComponent(value)}`);
  const {history} = outer();
  try {
    history[place ? 'pushState' : 'replaceState'](history.state, '', `#${[PLUGIN, ...own, ...others].join('&')}`);
  } catch {
    /* a page without an address of its own, such as a frame in somebody's dashboard */
  }
}

/** Calls back when somebody else has changed the address to another state of this tab. */
export function onAddress(listener) {
  const place = outer();
  const tell = () => {
    if (ours() && parts().some((part) => part.startsWith(PREFIX))) listener(readAddress());
  };
  place.addEventListener('hashchange', tell);
  window.addEventListener('pagehide', () => place.removeEventListener('hashchange', tell));
}
