// What a person chose, kept in this browser only. A damaged or foreign entry falls back, value by value.

const KEY = 'antiphon';

/** @type {Preferences} */
export const DEFAULTS = {
  mode: 'open_mic',
  voice: '',
  language: '',
  speed: null,
  microphone: '',
  processing: true,
  instructions: '',
  theme: 'auto',
  checked: false,
  announce: false,
};

/** @type {Record<string, readonly unknown[]>} */
const ALLOWED = { mode: ['open_mic', 'push_to_talk'], theme: ['auto', 'light', 'dark'] };

/** @param {string | null} text @returns {Preferences} */
export function parse(text) {
  /** @type {Record<string, unknown>} */
  let kept = {};
  try {
    kept = Object(JSON.parse(text ?? '{}'));
  } catch {
    // not ours
  }
  const good = Object.entries(DEFAULTS).map(([name, value]) => {
    const fits = typeof kept[name] === typeof value && (ALLOWED[name]?.includes(kept[name]) ?? true);
    return [name, fits ? kept[name] : value];
  });
  const speed = typeof kept.speed === 'number' ? Math.max(0.5, Math.min(2, kept.speed)) : null;
  return { .../** @type {Preferences} */ (Object.fromEntries(good)), speed };
}

/** Private windows may refuse to keep anything; then choices last as long as the page. */
export function load() {
  try {
    return parse(localStorage.getItem(KEY));
  } catch {
    return parse(null);
  }
}

/** @param {Preferences} preferences */
export function save(preferences) {
  try {
    localStorage.setItem(KEY, JSON.stringify(preferences));
  } catch {
    // kept for this page only
  }
}
