// Settings: the drawer, bound to the preferences. And how dialogs open.

import { microphones } from '../microphone.js';

/** Everything in the document that has an id. @type {Record<string, any>} */
export const page = Object.fromEntries([...document.querySelectorAll('[id]')].map((element) => [element.id, element]));

/** A press beside it closes it. @param {HTMLDialogElement} dialog */
export function open(dialog) {
	if (dialog.open) return;
	dialog.showModal();
	dialog.onclick = ({ target }) => void (target === dialog && dialog.close()); // false would undo the click
}

/** Fills in the choices (value, name) after the usual one; what is chosen now.
 * @type {(select: HTMLSelectElement, choices: string[][], chosen: string) => string} */
function fill(select, choices, chosen) {
	select.replaceChildren(select.options[0], ...choices.map(([value, name]) => new Option(name, value)));
	select.value = choices.some(([value]) => value === chosen) ? chosen : '';
	return select.value;
}

/** @type {MakeDrawer} */
export function drawer(chosen, onChange) {
	const fields = page.settings.querySelector('form').elements;
	const showPace = () => (page.pace.textContent = `${Number(fields.speed.value).toFixed(1)}×`);

	for (const [name, value] of Object.entries(chosen)) {
		if (typeof value !== 'boolean') fields[name].value = value ?? 1;
		else if (fields[name]) fields[name].checked = value;
	}
	showPace();
	page.settings.oninput = showPace;
	page.settings.onchange = (/** @type {any} */ { target: { name, type, value, checked } }) =>
		onChange({ [name]: type === 'checkbox' ? checked : type === 'range' ? Number(value) : value });

	async function listMicrophones() {
		const found = (await microphones()).map(({ deviceId, label }, i) => [deviceId, label || `Microphone ${i + 1}`]);
		fill(fields.microphone, found, chosen.microphone);
	}
	navigator.mediaDevices?.addEventListener('devicechange', listMicrophones);

	return {
		listMicrophones,
		setMode: (mode) => (fields.mode.value = mode),
		offer({ voices, languages, default_voice, default_language, default_speed, instructions_max }) {
			const names = new Intl.DisplayNames(undefined, { type: 'language' });
			/** @param {string} code */
			const named = (code) => (code === 'auto' ? 'Whatever you speak' : `${names.of(code)}`);
			const usual = voices.find(({ id }) => id === default_voice);
			fields.voice.options[0].text = `${usual?.name ?? 'The usual one'} (as usual)`;
			fields.language.options[0].text = `${named(default_language)} (as usual)`;
			fields.instructions.maxLength = instructions_max;
			fields.speed.value = chosen.speed ?? default_speed;
			showPace();
			const others = voices.filter((voice) => voice !== usual);
			const spoken = others.map(({ id, name, language }) => [id, language ? `${name} · ${named(language)}` : name]);
			const understood = languages.filter((code) => code !== default_language).map((code) => [code, named(code)]);
			const voice = fill(fields.voice, spoken, chosen.voice);
			const language = fill(fields.language, understood, chosen.language);
			return voices.length ? { voice, language } : {}; // without a list, any name is passed through
		},
		// On a scale from -60 dBFS to 0.
		meter(level) {
			if (!page.settings.open) return;
			const share = Math.max(0, 1 + Math.log10(level || 1e-6) / 3);
			page.level.value = share;
		},
	};
}
