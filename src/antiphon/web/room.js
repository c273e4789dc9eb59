// The five-second check, without the sound: what a quiet stretch and a few tones say about a room. Pure.

/** Hz. Apart from mains hum and its overtones, inside what small speakers and echo cancellers handle. */
export const TONES = [620, 930, 1370];
/** Seconds of each tone, of the gap after it, and of the quiet before them all. */
export const [TONE_S, GAP_S, QUIET_S] = [0.5, 0.2, 2];

/** dBFS. Such a room hides pauses and starts turns: open-plan offices reach it, kitchens do not. */
const LOUD_ROOM = -38;
/** The speakers are heard when a tone stands so far above the quiet (dB) and is so loud in itself (dBFS). */
const [BLEED_ABOVE, BLEED_LOUD] = [12, -48];
/** dBFS. Below this there is no microphone, only zeros. */
const DEAD = -90;

/** Power of one frequency in a frame (Goertzel), 0.5 for a full sine. @type {(pcm: Int16Array, hz: number, rate: number) => number} */
export function tonePower(pcm, hz, rate) {
	const w = 2 * Math.cos((2 * Math.PI * hz) / rate);
	let [a, b] = [0, 0];
	for (const sample of pcm) [a, b] = [sample / 32_768 + w * a - b, a];
	return (2 * (a * a + b * b - w * a * b)) / pcm.length ** 2;
}

/** @type {(pcm: Int16Array) => number} */
const power = (pcm) => pcm.reduce((sum, sample) => sum + (sample / 32_768) ** 2, 0) / pcm.length;

/** The value at a share (0-1) of all, in dBFS. @type {(powers: number[], share: number) => number} */
function level(powers, share) {
	const sorted = powers.toSorted((a, b) => a - b);
	return Math.max(-100, 10 * Math.log10(sorted[Math.floor(share * sorted.length)] || 1e-12));
}

/** From the frames before the tones and during them: dBFS of the room and of the tones, and what to do.
 * @type {(quiet: Int16Array[], sounding: Int16Array[], rate: number) => Verdict} */
export function judgeRoom(quiet, sounding, rate) {
	const noise = level(quiet.map(power), 0.5);
	const tones = TONES.map((hz) => {
		const [loud, before] = [sounding, quiet].map((frames) => frames.map((pcm) => tonePower(pcm, hz, rate)));
		const during = level(loud, 0.9);
		return { during, above: during - level(before, 0.5) };
	});
	const { during: speakers, above } = tones.toSorted((a, b) => a.above - b.above)[1];
	const bleeds = above > BLEED_ABOVE && speakers > BLEED_LOUD;
	const say = bleeds ? 'bleeds' : noise > LOUD_ROOM ? 'loud' : noise < DEAD ? 'dead' : 'good';
	return { noise, speakers, say, mode: say === 'bleeds' || say === 'loud' ? 'push_to_talk' : 'open_mic' };
}
