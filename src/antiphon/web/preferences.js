// What a person chose, kept in this browser only. A damaged or foreign entry falls back, value by value.

/** @type {Preferences} */
export const DEFAULTS = {
	...{ mode: 'open_mic', voice: '', language: '', speed: null, instructions: '' },
	...{ microphone: '', processing: true, theme: 'auto', checked: false, announce: false },
};

/** @type {(text: string | null) => Preferences} */
export function parse(text) {
	const [good, kept] = [/** @type {any} */ ({ ...DEFAULTS }), /** @type {any} */ (parsed(text))];
	for (const [name, value] of Object.entries(DEFAULTS)) if (typeof kept[name] === typeof value) good[name] = kept[name];
	if (typeof kept.speed === 'number') good.speed = Math.max(0.5, Math.min(2, kept.speed));
	if (good.mode !== 'push_to_talk') good.mode = 'open_mic';
	if (!['light', 'dark'].includes(good.theme)) good.theme = 'auto';
	return good;
}

/** @param {string | null} text */
function parsed(text) {
	try {
		return Object(JSON.parse(text ?? '{}'));
	} catch {
		return {};
	}
}

// Private windows may refuse to keep anything; then choices last as long as the page.

export function load() {
	try {
		return parse(localStorage.getItem('antiphon'));
	} catch {
		return parse(null);
	}
}

/** @param {Preferences} preferences */
export function save(preferences) {
	try {
		localStorage.setItem('antiphon', JSON.stringify(preferences));
	} catch {
		// kept for this page only
	}
}
