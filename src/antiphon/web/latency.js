// The course's latency budget, and one answer's stages laid beside it. Pure.

/** Milliseconds from the end of speech to the first sound: docs/design, the latency budget. */
export const BUDGET = { capture: 500, upload: 50, asr: 300, network: 50, llm: 300, tts: 200, download: 50, playback: 0 };
export const BUDGET_MS = Object.values(BUDGET).reduce((sum, ms) => sum + ms, 0);

/** @type {Record<string, string>} */
const NAMES = {
	capture: 'Capture',
	upload: 'Upload',
	asr: 'Recognise',
	network: 'Providers’ network',
	llm: 'Think',
	clause: 'First clause',
	tts: 'Voice',
	hold: 'Held until sure',
	download: 'Download',
	playback: 'Jitter buffer',
};

/** A stage as a bar: when it ran, ms after the end of speech, what it added and what it may take.
 * @typedef {{ name: string, label: string, start: number, end: number, ms: number, budget: number | null }} Bar */

/**
 * The server's stages, with the way there and back and the jitter buffer as the page measured them. The stages
 * may overlap: that is what makes the sum shorter than its parts.
 * @param {Latency} latency @returns {{ bars: Bar[], total: number }}
 */
export function bars({ stages, latency_ms, rtt_ms, buffer_ms }) {
	const way = rtt_ms / 2;
	const sound = latency_ms.first_sound ?? Math.max(0, ...stages.map((stage) => stage.end_ms));
	const spans = new Map(stages.map(({ name, start_ms, end_ms }) => [name, [start_ms + way, end_ms + way]]));
	spans.set('upload', [0, way]);
	spans.set('download', [way + sound, 2 * way + sound]);
	spans.set('playback', [2 * way + sound, 2 * way + sound + buffer_ms]);
	const known = Object.keys(NAMES).filter((name) => spans.has(name));
	const others = [...spans.keys()].filter((name) => !(name in NAMES));
	return {
		total: 2 * way + sound + buffer_ms,
		bars: [...known, ...others].map((name) => {
			const [start, end] = spans.get(name) ?? [0, 0];
			const budget = /** @type {Record<string, number>} */ (BUDGET)[name] ?? null;
			return { name, label: NAMES[name] ?? name, start, end, ms: end - start, budget };
		}),
	};
}
