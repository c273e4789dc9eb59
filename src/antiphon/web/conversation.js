// The words on the page: entries in, entries out. Pure; nothing here knows the document or the clock.
// What each function takes and gives: `Words` in types.d.ts.

/** Entries kept: some hours of talk. Older ones leave the page and the saved text. */
const KEEP = 500;

/** @type {(entries: Entry[], entry: Pick<Entry, 'key' | 'who' | 'text'> & Partial<Entry>) => Entry[]} */
const added = (entries, entry) =>
	[...entries, { final: true, spoken: 0, cut: null, voiced: false, latency: null, ...entry }].slice(-KEEP);

/** @type {(entries: Entry[], key: string, change: (entry: Entry) => Partial<Entry>) => Entry[]} */
const changed = (entries, key, change) =>
	entries.map((entry) => (entry.key === key ? { ...entry, ...change(entry) } : entry));

/** A key not used before. @type {(entries: Entry[], kind: string) => string} */
const fresh = (entries, kind) => `${kind} ${Math.max(0, ...entries.map(({ key }) => Number(key.split(' ')[1]) || 0)) + 1}`;

/** @type {Words} */
export const words = {
	typed: (entries, text) => added(entries, { key: fresh(entries, 'typed'), who: 'you', text }),

	noted: (entries, text) =>
		entries.at(-1)?.text === text ? entries : added(entries, { key: fresh(entries, 'note'), who: 'note', text }),

	transcribed(entries, { turn_id: key, text, final }) {
		if (entries.some((entry) => entry.key === key)) {
			// A final one without words was noise.
			return text || !final ? changed(entries, key, () => ({ text, final })) : entries.filter((entry) => entry.key !== key);
		}
		const echo = final && entries.findLast((entry) => entry.key.startsWith('typed ') && entry.text === text.trim());
		if (echo) return changed(entries, echo.key, () => ({ key }));
		return text ? added(entries, { key, who: 'you', text, final }) : entries;
	},

	written: (entries, key, text) =>
		entries.some((entry) => entry.key === key)
			? changed(entries, key, (entry) => ({ text: entry.text + text }))
			: added(entries, { key, who: 'reply', text, final: false }),

	voiced: (entries, key) => changed(entries, key, () => ({ voiced: true })),

	// The text runs ahead of the sound and comes without times, so the place is reckoned from the pace of speech,
	// kept to whole words, and never goes back.
	spokenTo: (entries, key, ms, done, pace) =>
		changed(entries, key, ({ text, spoken, cut }) => {
			if (cut !== null) return {};
			return { spoken: done ? text.length : Math.max(spoken, words.wordEnd(text, ms * pace)) };
		}),

	wordEnd(text, at) {
		const space = at > 0 ? text.slice(Math.floor(at)).search(/\s/) : -at;
		return space < 0 || at >= text.length ? text.length : Math.floor(at) + space;
	},

	cutOff: (entries, key, heard) =>
		changed(entries, key, ({ text }) => {
			const cut = words.heardEnd(text, heard);
			return { cut, spoken: cut, final: true };
		}),

	// The server speaks a speakable form of what is shown, so only letters and digits are compared; where they part
	// ("5 km", "five kilometres"), the length decides.
	heardEnd(text, heard) {
		const sounds = /[\p{L}\p{N}]/u;
		let at = 0;
		for (const letter of heard.toLowerCase().match(/[\p{L}\p{N}]/gu) ?? []) {
			while (at < text.length && !sounds.test(text[at])) at += 1;
			if (text[at]?.toLowerCase() !== letter) return words.wordEnd(text, heard.length);
			at += 1;
		}
		while (at && at < text.length && !/\s/.test(text[at]) && !sounds.test(text[at])) at += 1;
		return at;
	},

	finished: (entries, key, whole, latency) =>
		changed(entries, key, ({ text, spoken, voiced, cut }) => {
			const all = text || whole;
			return { text: all, spoken: voiced || cut !== null ? spoken : all.length, final: true, latency };
		}),

	asText: (entries) =>
		entries
			.filter(({ who, text }) => who !== 'note' && text.trim())
			.map(({ who, text, cut }) => {
				if (who === 'you') return `You: ${text.trim()}\n`;
				return `Antiphon: ${cut === null ? text.trim() : `${text.slice(0, cut).trim()} [interrupted]`}\n`;
			})
			.join('\n'),
};
