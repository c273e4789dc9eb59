// What the server is asked. The cookie that lets an operator in is out of reach of scripts.

export class NotLetIn extends Error {}

/** @param {string} path @param {RequestInit} [options] */
async function ask(path, options) {
	const answer = await fetch(path, { credentials: 'same-origin', cache: 'no-store', ...options });
	if (answer.ok) return answer;
	const problem = await answer.json().catch(() => null);
	const message = String(problem?.error?.message ?? problem?.message ?? problem?.detail ?? `the server answered ${answer.status}`);
	throw answer.status === 401 || answer.status === 403 ? new NotLetIn(message) : new Error(message);
}

/** @param {string} path */
const told = async (path) => (await ask(path)).json();

/** @returns {Promise<Now>} */
export const now = () => told('api/operator/now');
/** @returns {Promise<Day>} */
export const day = () => told('api/operator/day');
/** @param {number} after seconds since 1970 @param {string} only @param {number} most
 * @returns {Promise<{ turns: Turn[], more: boolean }>} newest first */
export const turns = (after, only, most) => told(`api/operator/turns?${new URLSearchParams({ after: `${after}`, only, most: `${most}` })}`);
/** @returns {Promise<{ sessions: LiveSession[] }>} */
export const sessions = () => told('api/sessions');

/** @param {string} id */
export const end = (id) => ask(`api/sessions/${encodeURIComponent(id)}`, { method: 'DELETE' });
/** @param {string} token */
export const logIn = (token) =>
	ask('api/operator', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ token }) });
export const logOut = () => ask('api/operator', { method: 'DELETE' });
