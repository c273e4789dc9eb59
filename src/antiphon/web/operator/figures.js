// Numbers as people read them, always with their unit. Pure.

/** @param {number | null | undefined} ms from the last word to the first sound, and the like */
export function time(ms) {
	if (ms === null || ms === undefined) return '–';
	if (ms < 0.95) return `${ms.toFixed(1)} ms`;
	return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

/** Small amounts all have four places, so that they can be read down a column. @param {number | null | undefined} usd */
export function money(usd) {
	if (usd === null || usd === undefined) return 'unknown';
	if (usd === 0) return '$0.00';
	if (usd < 0.00005) return '< $0.0001';
	return `$${usd.toFixed(usd < 1 ? 4 : 2)}`;
}

/** As many places as tell the ticks of an axis apart, cents at least. @param {number[]} ticks */
export function moneyTicks(ticks) {
	let places = 2;
	while (places < 6 && ticks.some((usd) => Math.abs(usd - Number(usd.toFixed(places))) > 1e-9)) places++;
	return ticks.map((usd) => `$${usd.toFixed(places)}`);
}

/** @param {number} seconds */
export function length(seconds) {
	const whole = Math.max(0, Math.round(seconds));
	if (whole < 60) return `${whole} s`;
	if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`;
	return `${Math.floor(whole / 3600)} h ${String(Math.floor(whole / 60) % 60).padStart(2, '0')} min`;
}

/** @param {number | null} share 0-1 */
export const percent = (share) => (share === null ? '–' : `${Math.round(share * 100)} %`);

/** Not rounded up: 100 % is all of them, and 50 % half. @param {number | null} share 0-1 */
export const percentWithin = (share) => percent(share === null ? null : Math.floor(share * 100 + 1e-9) / 100);

/** @param {number} count */
export const whole = (count) => count.toLocaleString('en').replaceAll(',', ' ');

/** The time, or day and time when that is not today's. @param {number} seconds @param {number} now both since 1970 */
export function moment(seconds, now) {
	const [at, today] = [seconds, now].map((each) => new Date(each * 1000));
	if (at.toDateString() === today.toDateString()) return clock(seconds);
	return `${at.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })} ${clock(seconds).slice(0, 5)}`;
}

/** @param {number} seconds since 1970, as the clock of whoever looks shows it */
export function clock(seconds) {
	const at = new Date(seconds * 1000);
	return [at.getHours(), at.getMinutes(), at.getSeconds()].map((part) => String(part).padStart(2, '0')).join(':');
}
