// Draws the panels that dashboard_picture.py gives it: a function of the list, for Playwright.
panels => {
  const colours = ['#e0752d', '#3274d9', '#56a64b', '#a352cc', '#f2cc0c', '#37872d', '#8f3bb8', '#e02f44'];
  const said = (v, unit) => v == null || Number.isNaN(v) ? 'no data' : unit === 's' ? (v < 1 ? Math.round(v * 1000) + ' ms' : v.toFixed(2) + ' s')
    : unit === 'percentunit' ? (v * 100).toFixed(1) + ' %' : unit === 'currencyUSD' ? '$' + v.toPrecision(3)
    : unit === 'bytes' ? (v / 1048576).toFixed(0) + ' MiB' : unit === 'ops' ? v.toPrecision(2) + '/s' : String(+v.toPrecision(3));
  // The ticks of an axis have as many places as tell them apart.
  const ticked = (ticks, unit) => {
    const [scale, before, after] = unit === 's' ? (Math.max(...ticks) < 1 ? [1000, '', ' ms'] : [1, '', ' s']) : unit === 'percentunit' ? [100, '', ' %']
      : unit === 'currencyUSD' ? [1, '$', ''] : unit === 'bytes' ? [1 / 1048576, '', ' MiB'] : unit === 'ops' ? [1, '', '/s'] : [1, '', ''];
    const values = ticks.map(tick => tick * scale);
    let places = 0;
    while (places < 7 && values.some(value => Math.abs(value - value.toFixed(places)) > 1e-9)) places++;
    return values.map(value => before + value.toFixed(places) + after);
  };
  const grid = document.getElementById('grid');
  for (const {type, title, gridPos: {x, y, w, h}, lines, unit} of panels) {
    const box = document.createElement('div');
    box.style.gridArea = `${y + 1} / ${x + 1} / span ${h} / span ${w}`;
    box.className = type === 'row' ? 'row' : 'panel';
    grid.append(box);
    if (type === 'row') { box.textContent = title; continue; }
    box.innerHTML = '<b></b>';
    box.firstChild.textContent = title;
    if (type !== 'timeseries') {
      const big = document.createElement('div');
      big.className = 'big';
      for (const {name, values} of lines) {
        const one = document.createElement('div');
        one.textContent = said(+values.at(-1)[1], unit);
        const small = document.createElement('small');
        small.textContent = name;
        one.append(small);
        big.append(one);
      }
      if (!lines.length) big.textContent = 'no data';
      box.append(big);
      continue;
    }
    if (!lines.length) { box.append('none in this day'); continue; }
    const names = document.createElement('div');
    names.className = 'names';
    lines.forEach(({name}, n) => { const i = document.createElement('i'); i.style.color = colours[n % 8]; i.textContent = '— ' + name; names.append(i); });
    const times = [...new Set(lines.flatMap(line => line.values.map(([at]) => at)))].sort((a, b) => a - b);
    const columns = lines.map(({values}) => { const of = new Map(values); return times.map(at => { const v = of.has(at) ? +of.get(at) : null; return Number.isNaN(v) ? null : v; }); });
    box.append(names);
    const plot = document.createElement('div');
    names.before(plot);
    new uPlot({
      width: box.clientWidth - 16, height: box.clientHeight - 12 - box.firstChild.offsetHeight - names.offsetHeight, cursor: {show: false}, legend: {show: false},
      scales: {y: {range: (_, __, most) => [0, (most || 1) * 1.1]}},
      axes: [{size: 24, font: '11px sans-serif', grid: {stroke: '#eceff1'}, values: (_, at) => at.map(s => new Date(s * 1000).toISOString().slice(11, 16))},
             {size: (_, labels) => 16 + 6.5 * Math.max(2, ...(labels ?? []).map(label => label.length)), font: '11px sans-serif', grid: {stroke: '#eceff1'}, values: (_, ticks) => ticked(ticks, unit)}],
      series: [{}, ...lines.map((_, n) => ({stroke: colours[n % 8], width: 1.2, points: {show: false}, spanGaps: true}))],
    }, [times, ...columns], plot);
  }
}
