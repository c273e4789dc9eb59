// Which of the recent turns are shown, and in what order. Pure.

/** Seconds by which clocks of replicas may differ, and by which another's turns may come late. */
export const TOLD_LATE = 15;

/** Turns that are shown at first, and with each "More"; a server keeps 200. */
export const STEP = 25;
export const KEPT = 200;

/** A turn that is taken up again after it was cut short ends twice. @param {Turn} turn */
export const name = ({ session, turn_id: turn, ended_s: ended }) => `${session} ${turn} ${ended}`;

/** Since when to ask; 0: for all. A clock that was set back makes the newest turn older than the last one.
 * @param {number} newest @param {number} last seconds since 1970, of the newest turn there and here */
export const since = (newest, last) => Math.max(0, Math.min(newest, last) - TOLD_LATE);

/** Both as one list, newest first. What ended later than now is of a clock that was set back since, and stands behind.
 * @param {Turn[]} known @param {Turn[]} fresh @param {number} now seconds since 1970 */
export function merged(known, fresh, now) {
	const all = new Map([...known, ...fresh].map((turn) => [name(turn), turn]));
	/** @param {Turn} turn */
	const later = ({ ended_s: ended }) => Number(ended > now + TOLD_LATE);
	return [...all.values()].sort((one, other) => later(one) - later(other) || other.ended_s - one.ended_s);
}
