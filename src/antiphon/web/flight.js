// The flight recorder as the page keeps it, cut to one answer: what was heard, decided and said, and when. Pure.

/** Shown before the first word and after the last event, ms: what led to an end can be told a little after it. And at
 * most this much altogether. */
const [BEFORE, AFTER, LONGEST] = [300, 600, 30_000];

/**
 * Everything between the answer before and the end of this one.
 * @param {FlightItem[]} flight @param {string} reply
 */
export function flightOf(flight, reply) {
	const mine = flight.filter((item) => item.kind === 'reply' && item.reply === reply);
	if (!mine.length) return null;
	const first = flight.indexOf(mine[0]);
	const before = flight.slice(0, first).findLast((item) => item.kind === 'reply' && ['cut', 'end', 'done'].includes(item.what));
	const last = mine[mine.length - 1];
	const spans = speechSpans(flight, last.at);
	const began = spans.filter((span) => span.end > (before?.at ?? 0) && span.start <= mine[0].at).map((span) => span.start);
	const end = last.at + AFTER;
	const start = Math.max(0, end - LONGEST, Math.min(mine[0].at, ...began) - BEFORE);
	/** @param {{ at: number }} item */
	const within = (item) => item.at >= start && item.at <= end;
	return {
		start,
		end,
		speech: spans.filter((span) => span.end > start && span.start < end),
		words: flight.filter((item) => item.kind === 'words').filter(within),
		decisions: flight.filter((item) => item.kind === 'decision').filter(within),
		sound: soundSpans(mine, last.at),
	};
}

/** @param {FlightItem[]} flight @param {number} now for speech that goes on */
function speechSpans(flight, now) {
	/** @type {{ start: number, end: number }[]} */
	const spans = [];
	for (const item of flight) {
		if (item.kind !== 'speech') continue;
		const open = spans.at(-1);
		if (item.on) spans.push({ start: item.at, end: now });
		else if (open) open.end = item.at;
	}
	return spans;
}

/** The reply's sound, in stretches of one loudness. @param {FlightItem[]} mine @param {number} now */
function soundSpans(mine, now) {
	/** @type {{ start: number, end: number, what: string }[]} */
	const spans = [];
	for (const item of mine) {
		// The server is done when all is sent; the sound is over when it was heard or cut off.
		if (item.kind !== 'reply' || item.what === 'asked' || item.what === 'done') continue;
		const open = spans.at(-1);
		if (open) open.end = item.at;
		if (item.what === 'cut' || item.what === 'end') break;
		spans.push({ start: item.at, end: now, what: item.what });
	}
	return spans;
}
