// Settings and keys: dialogs of the document, bound to the preferences.

import { microphones } from '../microphone.js';

/** @param {string} id */
const dialog = (id) => /** @type {HTMLDialogElement} */ (document.getElementById(id));

/** Opens a dialog; a press beside it closes it. @param {string} id */
export function open(id) {
  const panel = dialog(id);
  if (panel.open) return;
  panel.showModal();
  panel.onclick = (event) => event.target === panel && panel.close();
}

/** The first option stays: the usual choice. @param {HTMLSelectElement} select @param {string[][]} choices value, name
 * @param {string} chosen @returns {string} what is chosen now */
function fill(select, choices, chosen) {
  select.replaceChildren(select.options[0], ...choices.map(([value, name]) => new Option(name, value)));
  select.value = choices.some(([value]) => value === chosen) ? chosen : '';
  return select.value;
}

export class Drawer {
  /** @param {Preferences} preferences @param {(changed: Partial<Preferences>) => void} onChange */
  constructor(preferences, onChange) {
    this.preferences = preferences;
    this.form = /** @type {HTMLFormElement} */ (dialog('settings').querySelector('form'));
    this.level = /** @type {HTMLElement} */ (document.getElementById('level'));
    for (const [name, value] of Object.entries(preferences)) {
      const field = this.form.elements.namedItem(name);
      if (field instanceof HTMLInputElement && field.type === 'checkbox') field.checked = value;
      else if (field && value !== null) /** @type {HTMLInputElement | RadioNodeList} */ (field).value = String(value);
    }
    this.#pace();
    this.form.addEventListener('input', () => this.#pace());
    this.form.addEventListener('change', ({ target }) => {
      const { name, type, value, checked } = /** @type {HTMLInputElement} */ (target);
      onChange({ [name]: type === 'checkbox' ? checked : name === 'speed' ? Number(value) : value });
    });
    navigator.mediaDevices?.addEventListener('devicechange', () => void this.listMicrophones());
  }

  #pace() {
    const { value } = /** @type {HTMLInputElement} */ (this.form.elements.namedItem('speed'));
    /** @type {HTMLElement} */ (document.getElementById('speed-now')).textContent = `${Number(value).toFixed(1)}×`;
  }

  /** @param {string} name */
  #select(name) {
    return /** @type {HTMLSelectElement} */ (this.form.elements.namedItem(name));
  }

  /** @param {Mode} mode */
  setMode(mode) {
    /** @type {RadioNodeList} */ (this.form.elements.namedItem('mode')).value = mode;
  }

  async listMicrophones() {
    const found = await microphones();
    fill(this.#select('microphone'), found.map((device, i) => [device.deviceId, device.label || `Microphone ${i + 1}`]), this.preferences.microphone);
  }

  /** What this server offers. What was chosen and is no longer there goes back to the server's choice.
   * @param {Options} options @returns {Partial<Preferences>} what had to change */
  offer({ voices, languages, default_voice, default_language, default_speed, instructions_max }) {
    const { voice, language, speed } = this.preferences;
    const names = new Intl.DisplayNames(undefined, { type: 'language', fallback: 'code' });
    /** @param {string} code */
    const named = (code) => (code === 'auto' ? 'Whatever you speak' : (names.of(code) ?? code));
    const usual = voices.find(({ id }) => id === default_voice);
    if (usual) this.#select('voice').options[0].text = `${usual.name} (the usual one)`;
    this.#select('language').options[0].text = `${named(default_language)} (as usual)`;
    const voiceNames = voices.filter((other) => other !== usual).map(({ id, name, language: code }) => [id, code ? `${name} · ${named(code)}` : name]);
    const languageNames = languages.filter((code) => code !== default_language).map((code) => [code, named(code)]);
    /** @type {HTMLTextAreaElement} */ (this.form.elements.namedItem('instructions')).maxLength = instructions_max;
    /** @type {HTMLInputElement} */ (this.form.elements.namedItem('speed')).value = String(speed ?? default_speed);
    this.#pace();
    return { voice: fill(this.#select('voice'), voiceNames, voice), language: fill(this.#select('language'), languageNames, language) };
  }

  /** @param {number} level root mean square, 0-1: shown on a scale from -60 dBFS to 0 */
  meter(level) {
    if (!dialog('settings').open) return;
    const share = Math.max(0, 1 + Math.log10(level || 1e-6) / 3);
    this.level.style.setProperty('--level', share.toFixed(2));
    this.level.ariaValueNow = String(Math.round(share * 100));
  }
}
