// Four charts of the last 24 hours, drawn by the vendored uPlot. Each says in words what it shows, too.

import { found, made } from '../dom.js';
import { clock, money, moneyTicks, time, whole } from '../figures.js';

const HEIGHT = 170;

/** @typedef {{ of: (point: Point, day: Day) => number | null, colour: string, fill?: boolean }} Line */
/** `labels` of the ticks, `say` of one value, `latest` of them all; `top` of the axis while there is nothing;
 * `gaps`: points without a value are passed over; `mark`: a dashed line.
 * @typedef {{ title: string, lines: Line[], labels: (ticks: number[]) => string[], say: (value: number) => string,
 *   latest: (points: Point[]) => string, top: number, gaps?: boolean, mark?: (day: Day) => number }} Chart */

/** @param {number[]} ticks */
const counts = (ticks) => ticks.map((count) => (Number.isInteger(count) ? whole(count) : ''));

/** @param {Point[]} points @param {(point: Point) => number} of */
const sum = (points, of) => points.reduce((all, point) => all + of(point), 0);

/** @type {Chart[]} */
const CHARTS = [
	{
		title: 'First sound',
		lines: [{ of: (p) => p.p50_ms, colour: '--spent' }, { of: (p) => p.p95_ms, colour: '--spent-2' }],
		labels: (ticks) => ticks.map((ms) => `${ms / 1000} s`),
		say: time,
		latest: (points) => {
			const last = points.filter((point) => point.turns).at(-1);
			return last ? `typical ${time(last.p50_ms)}, 95 % within ${time(last.p95_ms)}` : 'no turns yet';
		},
		top: 1000,
		gaps: true,
		mark: (day) => Object.values(day.budget_ms).reduce((all, ms) => all + ms, 0),
	},
	{
		title: 'Conversations at once',
		lines: [{ of: (p) => p.sessions, colour: '--spent', fill: true }],
		labels: counts,
		say: whole,
		latest: (points) => `at most ${whole(Math.max(0, ...points.map((point) => point.sessions)))}`,
		top: 1,
	},
	{
		title: 'Errors',
		lines: [{ of: (p) => p.failed_turns, colour: '--spent' }, { of: (p) => p.failed_calls, colour: '--spent-2' }],
		labels: counts,
		say: whole,
		latest: (points) => `${whole(sum(points, (p) => p.failed_turns))} turns, ${whole(sum(points, (p) => p.failed_calls))} requests in all`,
		top: 1,
	},
	{
		title: 'Cost an hour',
		lines: [{ of: (p, { step_s }) => p.cost_usd * 3600 / step_s, colour: '--spent', fill: true }],
		labels: moneyTicks,
		say: (usd) => `${money(usd)} an hour`,
		latest: (points) => `${money(sum(points, (p) => p.cost_usd))} in all`,
		top: 0.1,
	},
];

/** @param {string} name of a colour in style.css */
function colour(name) {
	// A canvas cannot read light-dark(): an element of that colour can be asked what it came to.
	const probe = made('i', '');
	probe.style.color = `var(${name})`;
	document.body.append(probe);
	const value = getComputedStyle(probe).color;
	probe.remove();
	return value;
}

/** @param {Chart} chart @param {Day} day @returns {(number | null)[][]} */
const columns = ({ lines }, day) => [day.points.map(({ at }) => at), ...lines.map(({ of }) => day.points.map((point) => of(point, day)))];

/** What stands at one point, for whoever points at it. @param {Chart} chart @param {(number | null)[][]} values @param {number} at */
function readout(chart, [times, ...lines], at) {
	const found = lines.map((line) => line[at]).map((value) => (value === null ? '–' : chart.say(value)));
	return `${clock(/** @type {number} */ (times[at])).slice(0, 5)}  ${found.join(' · ')}`;
}

/** @param {Chart} chart @param {HTMLElement} place @param {Day} day @param {(text: string | null) => void} pointed */
function drawn(chart, place, day, pointed) {
	const values = columns(chart, day);
	const ink = colour('--ink-2'), line = colour('--line'), mark = chart.mark?.(day);
	const axis = { stroke: ink, font: '12px sans-serif', grid: { stroke: line, width: 1 }, ticks: { show: false } };
	const options = {
		width: place.clientWidth, height: HEIGHT, legend: { show: false }, cursor: { y: false, drag: { setScale: false }, points: { show: false } },
		scales: { y: { range: (/** @type {unknown} */ _, /** @type {number} */ __, /** @type {number | null} */ most) => [0, Math.max((most || chart.top) * 1.1, (mark ?? 0) * 1.15)] } },
		axes: [
			{ ...axis, size: 30, space: 64, values: (/** @type {unknown} */ _, /** @type {number[]} */ at) => at.map((s) => clock(s).slice(0, 5)) },
			{ ...axis, size: 64, space: 34, values: (/** @type {unknown} */ _, /** @type {number[]} */ values) => chart.labels(values) },
		],
		series: [{}, ...chart.lines.map(({ colour: name, fill }) => {
			const stroke = colour(name);
			return { stroke, width: 1.5, fill: fill ? stroke.replace('rgb(', 'rgba(').replace(')', ', .18)') : undefined, points: { show: false }, spanGaps: chart.gaps };
		})],
		hooks: { setCursor: [(/** @type {any} */ plot) => {
			pointed(plot.cursor.idx === null || plot.cursor.left < 0 ? null : readout(chart, values, plot.cursor.idx));
		}], ...(mark ? { draw: [(/** @type {any} */ plot) => {
			const { ctx, bbox } = plot, y = Math.round(plot.valToPos(mark, 'y', true));
			ctx.save();
			ctx.strokeStyle = ink;
			ctx.setLineDash([6, 5]);
			ctx.beginPath();
			ctx.moveTo(bbox.left, y);
			ctx.lineTo(bbox.left + bbox.width, y);
			ctx.stroke();
			ctx.restore();
		}] } : {}) },
	};
	return new uPlot(options, values, place);
}

/** Draws them in `place`; what it returns draws them anew with another day, or after a change of size or theme.
 * @param {HTMLElement} place */
export function charts(place) {
	const figures = CHARTS.map((chart) => {
		const latest = made('span', 'latest'), plot = made('div', 'plot');
		plot.setAttribute('aria-hidden', 'true');
		place.append(made('figure', 'chart', made('figcaption', '', made('span', 'title', chart.title), latest), plot));
		return { chart, latest, plot, said: '', drawing: /** @type {uPlot | null} */ (null) };
	});
	/** @type {Day | null} */
	let day = null;
	const draw = () => {
		if (!day || !found('board').checkVisibility()) return;
		for (const figure of figures) {
			figure.drawing?.destroy();
			figure.drawing = drawn(figure.chart, figure.plot, day, (text) => { figure.latest.textContent = text ?? figure.said; });
		}
	};
	matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
	new ResizeObserver(draw).observe(place);
	return (/** @type {Day} */ next) => {
		day = next;
		for (const figure of figures) {
			const { chart } = figure;
			figure.said = chart.latest(next.points) + (chart.mark ? ` · dashed: budget ${time(chart.mark(next))}` : '');
			figure.latest.textContent = figure.said;
		}
		draw();
	};
}
