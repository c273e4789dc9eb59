// Small pieces of a document. Text stays text: nothing that comes from outside is ever read as markup.

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {string} name of its class @param {(string | Node)[]} inside @returns {HTMLElementTagNameMap[T]}
 */
export function made(tag, name, ...inside) {
	const element = document.createElement(tag);
	if (name) element.className = name;
	element.append(...inside);
	return element;
}

/** @param {string} id @returns {HTMLElement} */
export function found(id) {
	const element = document.getElementById(id);
	if (!element) throw new Error(`there is no #${id}`);
	return element;
}

/**
 * A table; `number` in a heading's class puts its column to the right.
 * @param {[string, string][]} head text and class of each column @param {(HTMLTableRowElement)[]} rows
 * @param {HTMLTableRowElement[]} foot
 */
export function table(head, rows, foot = []) {
	const headings = head.map(([text, name]) => {
		const cell = made('th', name, text);
		cell.scope = 'col';
		return cell;
	});
	const parts = [made('thead', '', made('tr', '', ...headings)), made('tbody', '', ...rows)];
	if (foot.length) parts.push(made('tfoot', '', ...foot));
	return made('table', '', ...parts);
}

/** @param {string | Node} text @param {string} name */
export function heading(text, name = '') {
	const cell = made('th', name, text);
	cell.scope = 'row';
	return cell;
}

/** A bar from `from` on, `share` long, both 0-1. @param {string} name @param {number} from @param {number} share */
export function bar(name, from, share) {
	const element = made('i', name);
	element.style.setProperty('--from', Math.max(0, from).toFixed(4));
	element.style.setProperty('--share', Math.max(0, share).toFixed(4));
	return element;
}

/** Put `inside` there unless it says the same already, so that nobody's selection or place is lost for nothing.
 * @param {HTMLElement} place @param {Node} inside */
export function shown(place, inside) {
	if (place.children.length === 1 && place.firstElementChild?.isEqualNode(inside)) return;
	place.replaceChildren(inside);
}
