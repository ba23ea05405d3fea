/** The inspector on the right: the choice, the kernels, the remarks. */
const panel = {
  tab: 'Details',

  show(tab = this.tab) {
    this.tab = tab;
    const labels = { Details: 'Details', Kernels: `Kernels ${DATA.kernels.length || ''}`, Remarks: `Remarks ${DATA.remarks.length || ''}` };
    $('tabs').replaceChildren(...Object.entries(labels).map(([name, text]) => make('button', {
      role: 'tab', 'aria-selected': String(name === tab), onclick: () => this.show(name) }, text)));
    const body = tab === 'Details' ? this.details() : tab === 'Kernels' ? this.kernels() : this.remarks(DATA.remarks);
    $('panel').replaceChildren(...body);
    $('panel').scrollTop = 0;
  },

  details() {
    if (state.kernel) return this.kernel(kernelNamed.get(state.kernel));
    const at = scene.index.get(state.key);
    return at === undefined ? this.overview() : this.node(scene.step.vertices[at], at);
  },

  overview() {
    const step = scene.step;
    const kinds = new Map();
    for (const v of step.vertices) if (v.ir !== undefined) kinds.set(v.op, (kinds.get(v.op) ?? 0) + 1);
    const top = [...kinds].sort((a, b) => b[1] - a[1]).slice(0, 12);
    const changed = step.vertices.filter((v) => v.status !== 'kept');
    const out = [make('h2', {}, step.ms === null ? step.state : `after ${step.name}`),
      make('p', { class: 'soft' }, `${STATES[step.state] ?? ''} ${step.ms === null ? '' : `The pass took ${step.ms.toFixed(2)} ms.`}`)];
    if (step.ms !== null && changed.length) {
      for (const status of ['added', 'removed']) {
        const some = changed.filter((v) => v.status === status);
        if (some.length) out.push(make('h3', {}, `${plural(some.length, 'node')} ${status}`), this.links(some.slice(0, 24), some.length));
      }
    } else if (step.ms !== null) out.push(make('p', {}, 'This pass changed nothing here.'));
    if (top.length) {
      out.push(make('h3', {}, 'Ops'), make('table', {}, ...top.map(([op, n]) => make('tr', { class: 'link', onclick: () => search(op) },
        make('td', {}, op), make('td', { class: 'num' }, count(n))))));
    }
    out.push(make('h3', {}, 'Try'), make('p', { class: 'soft' }, 'Choose a node or a kernel to see its source line, IR, Triton lines and bytes. '
      + 'Arrow keys step through the passes, / searches, ? lists all keys.'));
    return out;
  },

  links(vertices, total) {
    const row = make('div', { class: 'links' }, ...vertices.map((v) => make('button', {
      onclick: () => { choose(v.key); scene.centre(v.key); } }, v.name ? `${v.op} ${v.name}` : v.op)));
    if (total > vertices.length) row.append(make('span', { class: 'tag' }, `and ${count(total - vertices.length)} more`));
    return row;
  },

  node(v, at) {
    const step = scene.step;
    const kernel = v.kernel ?? kernelOf.get(v.key);
    const pin = v.ir === undefined && v.status !== 'removed';
    const tags = [pin ? v.kind : (KINDS[v.kind] ?? [v.kind])[0], v.side ? 'backward' : 'forward', bytes(v.bytes)];
    const out = [make('h2', {}, v.name ? `${v.op}  ${v.name}` : v.op), make('div', { class: 'tags' },
      ...tags.map((t) => make('span', { class: 'tag' }, t)),
      v.status === 'kept' || step.ms === null ? null : make('span', { class: `tag ${v.status}` }, `${v.status} by ${step.name}`),
      v.repeated ? make('span', { class: 'tag' }, 'computed again by each reader') : null)];
    if (v.loc) out.push(make('h3', {}, `Source, ${v.loc[0]}:${v.loc[1]}`), this.source(v.loc));
    if (v.ir !== undefined) out.push(make('h3', {}, 'IR'), make('pre', { class: 'wrap' }, make('div', {}, v.ir)));
    const reads = v.reads.map((a) => step.vertices[a]);
    const readers = scene.readers[at].map((b) => step.vertices[b]);
    if (reads.length) out.push(make('h3', {}, 'Reads'), this.links(reads.slice(0, 24), reads.length));
    if (readers.length) out.push(make('h3', {}, 'Read by'), this.links(readers.slice(0, 24), readers.length));
    const k = kernelNamed.get(kernel);
    if (k) {
      out.push(make('h3', {}, 'Kernel'), make('div', { class: 'links' }, make('button', { onclick: () => chooseKernel(k.name) }, k.name)));
      const place = v.loc ? `${v.loc[0]}:${v.loc[1]}` : '';
      const lines = k.source.split('\n').map((t, i) => [i + 1, t, k.places[i]]).filter(([, , p]) => place && p === place);
      if (lines.length) out.push(make('h3', {}, `Triton lines of ${place}`), this.code(lines.map(([n, t]) => [n, t, false])));
    }
    const slots = DATA.memory.slots.filter((s) => v.name && v.name.replace(/^%/, '') === s.name && (!kernel || s.kernel === kernel));
    for (const s of slots) {
      out.push(make('h3', {}, 'Memory'), make('p', {}, `${bytes(s.bytes)} at ${count(s.offset)}, launches ${s.first} to ${s.last}`));
    }
    const about = v.loc ? DATA.remarks.filter((r) => r.loc === `${v.loc[0]}:${v.loc[1]}`) : [];
    const own = about.filter((r) => r.subject.split(/[^\w]+/).includes(v.op));
    if (own.length) out.push(make('h3', {}, 'Remarks'), ...this.remarks(own));
    return out;
  },

  source([file, line]) {
    const lines = DATA.lines[file];
    if (!lines) return make('p', { class: 'soft' }, 'The file is not at hand.');
    return this.code(Object.entries(lines).filter(([n]) => Math.abs(n - line) <= 2).map(([n, t]) => [n, t, Number(n) === line]));
  },

  code(lines) {
    return make('pre', {}, ...lines.map(([n, text, here]) => make('div', { class: here ? 'here' : undefined },
      make('span', { class: 'n' }, String(n)), text || ' ')));
  },

  kernels() {
    if (!DATA.kernels.length) return [make('p', { class: 'soft' }, 'No kernels: the module does not go that far.')];
    const most = Math.max(...DATA.kernels.map((k) => k.bytes_moved), 1);
    return DATA.kernels.map((k) => make('div', { class: 'remark', css: { cursor: 'pointer' }, onclick: () => chooseKernel(k.name) },
      make('b', {}, k.name), make('small', {}, `${k.class}, ${k.phase}, grid ${k.grid[0]} · ${bytes(k.bytes_moved)} moved · ${count(k.flops)} flops`),
      make('div', { class: 'meter' }, make('i', { css: { width: `${(100 * k.bytes_moved) / most}%`, background: strong(k.name) } }))));
  },

  kernel(k) {
    const rows = (title, table) => Object.entries(table).map(([name, n], i) => make('tr', {},
      make('td', {}, i ? '' : title), make('td', {}, name), make('td', { class: 'num' }, bytes(n))));
    const fact = (name, value) => make('tr', {}, make('td', {}, name), make('td', { class: 'num' }, value));
    const ratio = k.bytes_min ? (k.bytes_moved / k.bytes_min).toFixed(3) : '1';
    return [make('h2', {}, k.name),
      make('div', { class: 'tags' }, ...[k.class, k.phase, `launch ${k.launch}`].map((t) => make('span', { class: 'tag' }, t))),
      make('h3', {}, 'Counts'),
      make('table', {}, fact('grid', `${count(k.grid[0])} programs of ${k.num_warps} warps`),
        fact('bytes moved', `${bytes(k.bytes_moved)}, ${ratio} of the least`), fact('flops', count(k.flops))),
      make('h3', {}, 'Buffers'),
      make('table', {}, ...rows('reads', k.reads), ...rows('writes', k.writes)),
      make('h3', {}, 'Triton'), this.code(k.source.replace(/\n+$/, '').split('\n').map((t, i) => [i + 1, t, false]))];
  },

  remarks(list) {
    if (!list.length) return [make('p', { class: 'soft' }, 'The passes had nothing to remark.')];
    const shown = list.slice(0, 300).map((r) => make('div', { class: 'remark' }, make('b', {}, `${r.kind} `), `${r.subject}: ${r.reason}`,
      make('small', {}, [r.loc, ...Object.entries(r.numbers).map(([k, n]) => (k.includes('bytes') && typeof n === 'number' ? bytes(n) : `${k} ${n}`))].filter(Boolean).join(' · '))));
    if (list.length > 300) shown.push(make('p', { class: 'soft' }, `and ${count(list.length - 300)} more`));
    return shown;
  },
};

const STATES = {
  traced: 'What tracing the function gave.', joint: 'Value and gradients in one graph.',
  decomposed: 'Composite ops in primitive ones.', simplified: 'What is left to compute.',
  scheduled: 'Grouped into kernels; thick lines are buffers in memory.', planned: 'Every buffer has its place in the arena.',
};
