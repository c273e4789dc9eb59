// The conversation on the page: one list item an entry, changed only where the words changed, newest in view.

/** This near to its end counts as being there, px. */
const NEAR = 60;
const WHO = { you: 'You: ', reply: 'Antiphon: ', note: '' };

/** @type {(tag: string, className: string, textContent?: string) => HTMLElement} */
const made = (tag, className, textContent = '') => Object.assign(document.createElement(tag), { className, textContent });

/** @type {MakeList} */
export function wordList(frame, list, explain) {
	const shown = /** @type {Map<string, { entry?: Entry, item: HTMLElement, parts: HTMLElement[] }>} */ (new Map());

	/** @param {Entry} entry */
	function put(entry) {
		const { key, who, text, final, cut, spoken, latency } = entry;
		const at = shown.get(key) ?? { item: made('li', ''), parts: [made('span', 'said'), made('span', 'unseen'), made('span', 'rest')] };
		const { item, parts } = at;
		if (at.entry === entry) return;
		if (!at.entry) {
			item.append(made('span', 'unseen', WHO[who]), ...parts);
			list.append(item);
			shown.set(key, at);
		}
		at.entry = entry;
		const split = who === 'reply' ? spoken : text.length;
		item.className = `entry ${who}${final ? '' : ' interim'}${cut === null ? '' : ' cut'}`;
		const texts = [text.slice(0, split), cut === null ? '' : ' (interrupted here)', text.slice(split)];
		parts.forEach((part, i) => part.textContent !== texts[i] && (part.textContent = texts[i]));
		if (latency?.latency_ms.first_sound && !item.querySelector('.took')) item.append(made('br', ''), took(entry, latency));
	}

	/** The small line under an answer that opens what it took. @type {(entry: Entry, latency: Latency) => HTMLElement} */
	function took(entry, { latency_ms, rtt_ms, buffer_ms }) {
		const seconds = ((latency_ms.first_sound + rtt_ms + buffer_ms) / 1000).toFixed(2);
		const button = made('button', 'took', `${seconds} s`);
		button.ariaLabel = `First sound after ${seconds} seconds: how it came about`;
		button.ariaExpanded = 'false';
		button.onclick = () => {
			const open = button.ariaExpanded !== 'true';
			button.ariaExpanded = String(open);
			if (!open) return button.nextElementSibling?.remove();
			const place = made('div', 'took-how');
			button.after(place);
			explain(entry, place);
		};
		return button;
	}

	return (entries) => {
		const { scrollHeight, scrollTop, clientHeight } = frame;
		const keys = new Set(entries.map(({ key }) => key));
		for (const [key, { item }] of shown) if (!keys.has(key) && shown.delete(key)) item.remove();
		entries.forEach(put);
		if (scrollHeight - scrollTop - clientHeight < NEAR) frame.scrollTop = frame.scrollHeight;
	};
}
