// The five-second check, without the sound: what a quiet stretch and a few tones say about a room. Pure.

/** Hz. Apart from mains hum and its overtones, inside what small speakers and echo cancellers handle. */
export const TONES = [620, 930, 1370];
/** Each tone's length and the silence after it, and the silence listened to first, seconds. */
export const TONE_S = 0.5;
export const GAP_S = 0.2;
export const QUIET_S = 2;
/** Loudness of the tones: about that of a spoken reply. */
export const TONE_GAIN = 0.25;

/** A room this loud (dBFS) hides pauses and starts turns. Open-plan offices reach it, kitchens do not. */
const LOUD_ROOM = -38;
/** The speakers are heard when a tone stands this far above the quiet (dB) and this loud in itself (dBFS). */
const BLEED_ABOVE = 12;
const BLEED_LOUD = -48;
/** Below this (dBFS) there is no microphone, only zeros. */
const DEAD = -90;

/** @param {number} power @returns {number} dBFS, at least -100 */
const decibels = (power) => Math.max(-100, 10 * Math.log10(power || 1e-12));

/** Power of one frequency in a frame (Goertzel), 0.5 for a full-scale sine. @param {Int16Array} pcm @param {number} hz @param {number} rate */
export function tonePower(pcm, hz, rate) {
  const w = 2 * Math.cos((2 * Math.PI * hz) / rate);
  let [a, b] = [0, 0];
  for (const sample of pcm) [a, b] = [sample / 32_768 + w * a - b, a];
  return (2 * (a * a + b * b - w * a * b)) / pcm.length ** 2;
}

/** @param {Int16Array} pcm */
const power = (pcm) => pcm.reduce((sum, s) => sum + (s / 32_768) ** 2, 0) / pcm.length;

/** @param {number[]} values @param {number} share 0-1 */
function quantile(values, share) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}

/**
 * @param {Int16Array[]} quiet frames before the tones @param {Int16Array[]} sounding frames during them
 * @param {number} rate Hz
 */
export function judgeRoom(quiet, sounding, rate) {
  const noise = decibels(quantile(quiet.map(power), 0.5));
  const heard = TONES.map((hz) => {
    const during = decibels(quantile(sounding.map((pcm) => tonePower(pcm, hz, rate)), 0.9));
    return { during, above: during - decibels(quantile(quiet.map((pcm) => tonePower(pcm, hz, rate)), 0.5)) };
  });
  const bleed = quantile(heard.map(({ above }) => above), 0.5);
  const loudness = quantile(heard.map(({ during }) => during), 0.5);
  const bleeds = bleed > BLEED_ABOVE && loudness > BLEED_LOUD;
  const dead = noise < DEAD && !bleeds;
  return { noise, bleed, ...advice(dead, noise > LOUD_ROOM, bleeds) };
}

/** @param {boolean} dead @param {boolean} loud @param {boolean} bleeds @returns {{ mode: Mode, title: string, help: string }} */
function advice(dead, loud, bleeds) {
  if (dead) {
    return {
      mode: 'open_mic',
      title: 'The microphone gives no sound',
      help: 'Look for a mute switch on it, or choose another microphone in the settings.',
    };
  }
  if (!loud && !bleeds) {
    return { mode: 'open_mic', title: 'Open microphone will work well', help: 'The room is quiet, and your speakers stay out of the microphone.' };
  }
  if (bleeds) {
    return {
      mode: 'push_to_talk',
      title: 'The microphone hears your speakers',
      help: `It could take its own voice for yours. Headphones help most; then lower volume, or more distance${loud ? '. The room is loud, too' : ''}.`,
    };
  }
  return { mode: 'push_to_talk', title: 'It is loud in here', help: 'Noise can sound like speech. Push-to-talk is safer; a headset or a closed door helps.' };
}
