// What a curious person sees under an answer. Loaded when first asked for.

import { timeline } from './timeline.js';
import { waterfall } from './waterfall.js';

/**
 * @param {Entry} entry @param {FlightItem[]} flight
 * @param {{ frame_ms: number, from: number, levels: number[] }} sound levels of the frames since `from`
 * @param {number} width px
 */
export function explained(entry, flight, sound, width) {
	const lanes = timeline(flight, entry.key, sound, width);
	return [...(entry.latency ? [waterfall(entry.latency)] : []), ...(lanes ? [lanes] : [])];
}
