// The one script that the first paint waits for: a chosen theme must not flash in the other one. The program itself
// comes after the first paint, which shows all that there is to see: 70 ms earlier on two slow cores.
try {
	const { theme } = JSON.parse(localStorage.getItem('antiphon') ?? '{}');
	if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
	// the system's theme, then
}
addEventListener('DOMContentLoaded', () => requestAnimationFrame(() => setTimeout(() => import('./app.js'))));
