const state = { step: 0, key: null, kernel: null, hits: [], hit: -1, folded: false };

/** Which kernel a node ends in, known at every step. */
const kernelOf = new Map(Object.entries(DATA.kernel_of));

/** A step with its drawing, which is read when it is first wanted. */
function stepAt(i) {
  const step = DATA.steps[i];
  if (!step.vertices) Object.assign(step, JSON.parse($(`step${i}`).textContent));
  return step;
}

function go(step) {
  state.step = Math.min(Math.max(step, 0), DATA.steps.length - 1);
  $('slider').value = state.step;
  [...$('ticks').children].forEach((b, i) => (i === state.step ? b.setAttribute('aria-current', 'step') : b.removeAttribute('aria-current')));
  const keep = scene.step && scene.step.vertices[scene.index.get(state.key)];
  const from = keep && scene.moved ? { x: keep.x * scene.view.k + scene.view.x, y: keep.y * scene.view.k + scene.view.y } : null;
  scene.show(stepAt(state.step));
  const now = scene.step.vertices[scene.index.get(state.key)];
  if (!now) state.key = null;
  if (from && now) {
    Object.assign(scene.view, { x: from.x - now.x * scene.view.k, y: from.y - now.y * scene.view.k });
    scene.apply();
  } else scene.fit();
  if ($('search').value) find($('search').value);
  if (!state.folded) $('fold').setAttribute('aria-expanded', String(scene.step.state === 'planned'));
  legend();
  refresh();
}

function refresh() {
  scene.mark(state.key, state.kernel, state.hits);
  panel.show();
  gantt.show();
}

function choose(key) {
  Object.assign(state, { key, kernel: null });
  panel.tab = 'Details';
  refresh();
}

function chooseKernel(name) {
  if (!kernelNamed.has(name)) return;
  Object.assign(state, { key: null, kernel: name });
  panel.tab = 'Details';
  refresh();
  const f = scene.step.frames.find((g) => g.kernel === name);
  if (f && !scene.sees({ x: f.x + f.w / 2, y: f.y + f.h / 2 })) scene.point(f.x + f.w / 2, f.y + f.h / 2);
}

function find(text) {
  const want = text.trim().toLowerCase();
  const has = (v) => [v.op, v.name, v.first, v.kernel, v.loc && v.loc.join(':'), v.ir].some((t) => t && String(t).toLowerCase().includes(want));
  state.hits = want ? scene.step.vertices.filter(has).map((v) => v.key) : [];
  if (state.hit >= state.hits.length) state.hit = -1;
  $('found').textContent = want ? (state.hit < 0 ? count(state.hits.length) : `${state.hit + 1} of ${count(state.hits.length)}`) : '';
}

function next(way) {
  if (!state.hits.length) return;
  state.hit = (state.hit + way + state.hits.length + (state.hit < 0 && way < 0 ? 1 : 0)) % state.hits.length;
  choose(state.hits[state.hit]);
  find($('search').value);
  scene.centre(state.key);
}

function search(text) {
  $('search').value = text;
  state.hit = -1;
  find(text);
  next(1);
}

/** Along the edges: up to what is read, down to who reads; left and right step through the passes. */
function walk(way) {
  const at = scene.index.get(state.key);
  const list = at === undefined ? [0] : way < 0 ? scene.step.vertices[at].reads : scene.readers[at];
  if (!list.length || !scene.step.vertices.length) return;
  choose(scene.step.vertices[list[0]].key);
  if (!scene.sees(scene.step.vertices[list[0]])) scene.centre(state.key);
}

function inOrder(way) {
  const at = scene.index.get(state.key) ?? (way > 0 ? -1 : 0);
  const all = scene.step.vertices;
  if (!all.length) return;
  const v = all[(at + way + all.length) % all.length];
  choose(v.key);
  if (!scene.sees(v)) scene.centre(v.key);
}

function legend() {
  const step = scene.step;
  const swatch = (text, attrs) => make('span', {}, make('i', attrs), text);
  const items = [];
  if (scene.colour === 'kind') {
    const used = new Set(step.vertices.filter((v) => v.ir !== undefined).map((v) => v.kind));
    for (const [kind, [text, colour]] of Object.entries(KINDS)) if (used.has(kind)) items.push(swatch(text, { css: { background: colour } }));
  } else items.push(make('span', {}, 'strip: the kernel that computes the node'));
  if (step.vertices.some((v) => v.side)) items.push(swatch('backward', { class: 'back' }));
  if (step.ms !== null && step.count.kept && step.count.added) items.push(swatch('added', { class: 'added' }));
  if (step.count.removed) items.push(swatch('removed', { class: 'removed' }));
  $('legend').replaceChildren(...items);
}

const KEYS = [['← →', 'pass before, pass after'], ['↑ ↓', 'what the node reads, who reads it'], ['j k', 'next node, node before'],
  ['/', 'search'], ['Enter, n N', 'next hit, hit before'], ['f', 'fit the graph'], ['+ −', 'zoom'], ['c', 'colour by class or kernel'],
  ['m', 'memory plan'], ['t', 'light or dark'], ['Esc', 'nothing chosen'], ['?', 'this list']];

const theme = (dark) => {
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
  if (scene.step) scene.map();
};
const isDark = () => document.documentElement.dataset.theme === 'dark';

function recolour() {
  scene.colour = $('colour').value;
  for (const v of scene.step.vertices) scene.dress(scene.nodes.get(v.key), v, false);
  legend();
  refresh();
}

const ACTIONS = {
  ArrowLeft: () => go(state.step - 1), ArrowRight: () => go(state.step + 1), ArrowUp: () => walk(-1), ArrowDown: () => walk(1),
  j: () => inOrder(1), k: () => inOrder(-1), '/': () => $('search').select(), n: () => next(1), N: () => next(-1),
  f: () => scene.fit(true), '+': () => scene.zoom(1.25), '=': () => scene.zoom(1.25), '-': () => scene.zoom(0.8),
  c: () => { $('colour').value = scene.colour === 'kind' ? 'kernel' : 'kind'; recolour(); },
  m: () => $('fold').click(), t: () => theme(!isDark()), Escape: () => choose(null), '?': () => $('keys').showModal(),
};

addEventListener('keydown', (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || $('keys').open) return;
  if (e.target === $('search')) {
    if (e.key === 'Enter') next(e.shiftKey ? -1 : 1);
    else if (e.key === 'Escape') $('scene').focus();
    return;
  }
  if (e.target === $('slider') && e.key.startsWith('Arrow')) return;
  if (!ACTIONS[e.key] || e.target.tagName === 'SELECT') return;
  e.preventDefault();
  ACTIONS[e.key]();
});

function facts() {
  const last = DATA.steps[DATA.steps.length - 1].count;
  const moved = DATA.kernels.reduce((n, k) => n + k.bytes_moved, 0);
  const list = [['nodes', count(last.kept + last.added)]];
  if (DATA.kernels.length) {
    list.unshift(['launches', count(DATA.kernels.length)], ['bytes moved', bytes(moved)]);
    list.push(['arena', bytes(DATA.memory.arena)]);
  }
  return list.map(([name, value]) => make('div', {}, make('dt', {}, name), make('dd', {}, value)));
}

function tick(step, i) {
  const { added, removed, kept } = step.count;
  const first = step.ms === null;
  const special = step.name === 'fuse' && DATA.kernels.length ? plural(DATA.kernels.length, 'kernel')
    : step.name === 'plan-memory' ? `arena ${bytes(DATA.memory.arena)}` : 'no change';
  const numbers = special !== 'no change' ? [special] : first || !(added || removed)
    ? [first ? plural(kept, 'node') : 'no change']
    : [added ? make('span', { class: 'plus' }, `+${count(added)} `) : null, removed ? make('span', { class: 'minus' }, `−${count(removed)}`) : null].filter(Boolean);
  return make('button', { class: !first && special === 'no change' && !(added || removed) ? 'same' : undefined, onclick: () => go(i), title: STATES[step.state] ?? step.state },
    make('b', {}, step.name), make('small', {}, ...numbers));
}

$('name').textContent = DATA.name;
$('target').textContent = DATA.target;
$('facts').replaceChildren(...facts());
$('ticks').replaceChildren(...DATA.steps.map(tick));
const half = `${50 / DATA.steps.length}%`;
Object.assign($('slider').style, { paddingInline: '0', marginInline: `calc(${half} - 8px)`, width: `calc(100% - 2 * ${half} + 16px)` });
$('slider').max = DATA.steps.length - 1;
$('slider').addEventListener('input', (e) => go(Number(e.target.value)));
$('search').addEventListener('input', (e) => { state.hit = -1; find(e.target.value); scene.mark(state.key, state.kernel, state.hits); });
$('colour').addEventListener('change', recolour);
$('theme').addEventListener('click', () => theme(!isDark()));
$('in').addEventListener('click', () => scene.zoom(1.25));
$('out').addEventListener('click', () => scene.zoom(0.8));
$('fit').addEventListener('click', () => scene.fit(true));
$('help').addEventListener('click', () => $('keys').showModal());
$('keys').append(make('h2', {}, 'Keys'), make('table', {}, ...KEYS.map(([k, text]) => make('tr', {}, make('td', {}, make('kbd', {}, k)), make('td', {}, text)))));
$('keys').addEventListener('click', () => $('keys').close());
$('fold').addEventListener('click', () => {
  state.folded = true;
  $('fold').setAttribute('aria-expanded', String($('fold').getAttribute('aria-expanded') !== 'true'));
  gantt.show();
});
addEventListener('resize', () => gantt.show());
theme(matchMedia('(prefers-color-scheme: dark)').matches);
scene.start();
// Gradients are what people come for: open on the joint graph, where there is one.
go(Math.max(DATA.steps.findIndex((s) => s.state === 'joint'), 0));
document.documentElement.dataset.ready = 'yes';
