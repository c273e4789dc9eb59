// The words on the page: entries in, entries out. Pure; nothing here knows the document or the clock.

/** Entries kept: some hours of talk. Older ones leave the page and the saved text. */
const KEEP = 500;

/** @param {Partial<Entry> & Pick<Entry, 'key' | 'who' | 'text'>} entry @returns {Entry} */
const made = (entry) => ({ final: true, spoken: 0, cut: null, voiced: false, latency: null, ...entry });

/** @param {Entry[]} entries @param {Entry} entry */
const added = (entries, entry) => [...entries, entry].slice(-KEEP);

/** @param {Entry[]} entries @param {string} key @param {(entry: Entry) => Entry} change */
const changed = (entries, key, change) =>
  entries.some((entry) => entry.key === key)
    ? entries.map((entry) => (entry.key === key ? change(entry) : entry))
    : entries;

/** A key not used before. @param {Entry[]} entries @param {string} kind */
function fresh(entries, kind) {
  const numbers = entries.filter((entry) => entry.key.startsWith(`${kind} `)).map((entry) => Number(entry.key.slice(kind.length)));
  return `${kind} ${Math.max(0, ...numbers) + 1}`;
}

/** A typed turn, shown at once; the server names it later. @param {Entry[]} entries @param {string} text */
export const typed = (entries, text) =>
  added(entries, made({ key: fresh(entries, 'typed'), who: 'you', text }));

/** A quiet line of the page's own. @param {Entry[]} entries @param {string} text */
export const noted = (entries, text) =>
  entries.at(-1)?.text === text
    ? entries
    : added(entries, made({ key: fresh(entries, 'note'), who: 'note', text }));

/**
 * What the server heard, interim or final. A final one without words was noise: its entry goes.
 * @param {Entry[]} entries @param {{ turn_id: string, text: string, final: boolean }} heard
 */
export function transcribed(entries, { turn_id, text, final }) {
  if (entries.some((entry) => entry.key === turn_id)) {
    return text || !final
      ? changed(entries, turn_id, (entry) => ({ ...entry, text, final }))
      : entries.filter((entry) => entry.key !== turn_id);
  }
  const waiting = entries.findLast((entry) => entry.who === 'you' && entry.key.startsWith('typed '));
  if (waiting && final && waiting.text.trim() === text.trim()) {
    return changed(entries, waiting.key, (entry) => ({ ...entry, key: turn_id }));
  }
  return text ? added(entries, made({ key: turn_id, who: 'you', text, final })) : entries;
}

/** The next piece of a reply's text. @param {Entry[]} entries @param {string} key @param {string} text */
export function written(entries, key, text) {
  const known = entries.some((entry) => entry.key === key);
  if (!known) return added(entries, made({ key, who: 'reply', text, final: false }));
  return changed(entries, key, (entry) => ({ ...entry, text: entry.text + text }));
}

/** The reply has a voice. @param {Entry[]} entries @param {string} key */
export const voiced = (entries, key) => changed(entries, key, (entry) => ({ ...entry, voiced: true }));

/**
 * How far a reply has been heard. The text runs ahead of the sound and comes without times, so the place is
 * reckoned from the pace of speech, kept to whole words, and never goes back.
 * @param {Entry[]} entries @param {string} key @param {number} ms @param {boolean} done @param {number} pace
 */
export const spokenTo = (entries, key, ms, done, pace) =>
  changed(entries, key, (entry) => {
    if (entry.cut !== null) return entry;
    const spoken = done ? entry.text.length : Math.max(entry.spoken, wordEnd(entry.text, ms * pace));
    return spoken === entry.spoken ? entry : { ...entry, spoken };
  });

/** @param {string} text @param {number} at characters @returns {number} the end of the word that lies there */
export function wordEnd(text, at) {
  if (at <= 0) return 0;
  if (at >= text.length) return text.length;
  const space = text.slice(Math.floor(at)).search(/\s/);
  return space < 0 ? text.length : Math.floor(at) + space;
}

/** The reply was cut off where `heard` ends. @param {Entry[]} entries @param {string} key @param {string} heard */
export const cutOff = (entries, key, heard) =>
  changed(entries, key, (entry) => {
    const cut = heardEnd(entry.text, heard);
    return { ...entry, cut, spoken: cut, final: true };
  });

/**
 * Where `heard` ends in `text`. The server speaks a speakable form of what is shown, so only letters and
 * digits are compared; where they part ("5 km", "five kilometres"), the length decides.
 * @param {string} text @param {string} heard
 */
export function heardEnd(text, heard) {
  const letters = [...heard.toLowerCase()].filter((c) => /[\p{L}\p{N}]/u.test(c));
  if (!letters.length) return 0;
  let at = 0;
  for (const letter of letters) {
    while (at < text.length && !/[\p{L}\p{N}]/u.test(text[at])) at += 1;
    if (text[at]?.toLowerCase() !== letter) return wordEnd(text, heard.length);
    at += 1;
  }
  while (at < text.length && /[^\s\p{L}\p{N}]/u.test(text[at])) at += 1;
  return at;
}

/** The reply is over. @param {Entry[]} entries @param {string} key @param {string} text @param {Latency} latency */
export const finished = (entries, key, text, latency) =>
  changed(entries, key, (entry) => {
    const all = entry.text || text;
    const spoken = entry.voiced || entry.cut !== null ? entry.spoken : all.length;
    return { ...entry, text: all, spoken, final: true, latency };
  });

/** The conversation as plain text, for copying and saving. @param {Entry[]} entries */
export function asText(entries) {
  const lines = entries
    .filter((entry) => entry.who !== 'note' && entry.text.trim())
    .map((entry) => {
      if (entry.who === 'you') return `You: ${entry.text.trim()}`;
      if (entry.cut === null) return `Antiphon: ${entry.text.trim()}`;
      return `Antiphon: ${entry.text.slice(0, entry.cut).trim()} [interrupted]`;
    });
  return lines.length ? `${lines.join('\n\n')}\n` : '';
}
