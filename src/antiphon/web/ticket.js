// A ticket for each connection, where the server wants one; and the password for it, asked once a tab.

import { open, page } from './views/drawer.js';

const KEPT = 'antiphon-password';

/** What the server gives; or why not (`message`), and when to ask again (`retry_after_ms`, if that may help). A person
 * is asked only where there is a password to be known.
 * @type {(byPassword: boolean) => Promise<{ ticket?: string, message?: string, retry_after_ms?: number }>} */
export async function ticket(byPassword) {
	for (let password = kept(); ; ) {
		const answer = await ask(password).catch(() => null);
		if (!answer) return { message: 'The server cannot be reached.', retry_after_ms: 2000 };
		const told = await answer.json().catch(() => ({}));
		if (answer.ok) return keep(password), { ticket: told.ticket };
		const { message = 'This server did not give out a ticket.', retry_after_ms } = told.error ?? {};
		if (answer.status !== 401 || !byPassword) return { message, retry_after_ms: retry_after_ms ?? undefined };
		keep('');
		page.why.textContent = password ? 'That was not it. Try again.' : '';
		password = await asked();
		if (!password) return { message: 'This server asks for a password.' };
	}
}

/** @param {string} password */
const ask = (password) =>
	fetch('api/tickets', {
		method: 'POST',
		headers: { 'Content-Type': 'application/json' },
		body: JSON.stringify(password ? { password } : {}),
	});

/** What was typed; empty when the question was closed. @returns {Promise<string>} */
function asked() {
	page.password.value = '';
	page.entry.returnValue = '';
	open(page.entry);
	return new Promise((done) => {
		page.entry.onclose = () => {
			done(page.entry.returnValue === 'enter' ? page.password.value : '');
			page.password.value = '';
		};
	});
}

// Kept for this tab, and gone with it. A browser that keeps nothing asks again.

function kept() {
	try {
		return sessionStorage.getItem(KEPT) ?? '';
	} catch {
		return '';
	}
}

/** @param {string} password */
function keep(password) {
	try {
		if (password) sessionStorage.setItem(KEPT, password);
		else sessionStorage.removeItem(KEPT);
	} catch {
		// asked again, then
	}
}
