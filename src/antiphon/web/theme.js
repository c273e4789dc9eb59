// A classic script, before the first paint: a chosen theme must not flash in the other one.
try {
  const { theme } = JSON.parse(localStorage.getItem('antiphon') ?? '{}');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // the system's theme, then
}
