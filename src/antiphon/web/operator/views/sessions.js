// Who is on, and a way to end one.

import { heading, made, table } from '../dom.js';
import { length, money, whole } from '../figures.js';

/** The replica without the letters that only tell its starts apart. @param {LiveSession} session */
const where = ({ replica, away }) => [away ? 'waited for' : '', replica.replace(/:[0-9a-f]+$/, '')].filter(Boolean).join(' · ') || '–';

/** @param {HTMLElement} place @param {LiveSession[]} sessions @param {(id: string) => void} end */
export function sessions(place, sessions, end) {
	if (!sessions.length) {
		place.replaceChildren(made('p', 'nothing', 'Nobody.'));
		return;
	}
	// The rows are made anew every two seconds; whoever is about to press a button must not lose it.
	const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.id : undefined;
	const rows = sessions.map((session) => {
		const button = made('button', 'plain', 'End');
		button.type = 'button';
		button.dataset.id = session.id;
		button.setAttribute('aria-label', `End conversation ${session.id}`);
		button.addEventListener('click', () => end(session.id));
		return made('tr', '', heading(made('code', '', session.id)), made('td', 'number', length(session.seconds)),
			made('td', 'number', whole(session.turns)), made('td', 'number', whole(session.interrupted)),
			made('td', session.failures ? 'number bad' : 'number', whole(session.failures)), made('td', 'number', money(session.cost_usd)),
			made('td', '', session.key || session.address || '–'), made('td', 'dim', where(session)), made('td', 'number', button));
	});
	place.replaceChildren(table(
		[['Conversation', ''], ['for', 'number'], ['turns', 'number'], ['cut short', 'number'], ['errors', 'number'], ['cost', 'number'], ['who', ''], ['where', ''], ['end it', 'number']],
		rows,
	));
	if (focused) /** @type {HTMLElement | null} */ (place.querySelector(`[data-id="${CSS.escape(focused)}"]`))?.focus({ preventScroll: true });
}
