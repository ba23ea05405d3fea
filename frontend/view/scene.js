/** The graph of one step: elements by key, pan and zoom, the small map. */
const scene = {
  svg: $('scene'), step: null, nodes: new Map(), view: { x: 0, y: 0, k: 1 }, moved: false, colour: 'kind',
  layers: {}, readers: [], index: new Map(),

  start() {
    const world = (this.world = draw('g', { class: 'world' }));
    for (const name of ['buffers', 'frames', 'edges', 'nodes', 'links']) world.append((this.layers[name] = draw('g')));
    const arrow = (id, css) => draw('marker', { id, viewBox: '0 0 8 8', refX: 7, refY: 4, markerWidth: 6,
      markerHeight: 6, orient: 'auto-start-reverse', markerUnits: 'userSpaceOnUse' },
      draw('path', { d: 'M0 .8 7.4 4 0 7.2z', css: { fill: css } }));
    const big = arrow('thick', 'var(--faint)');
    big.setAttribute('markerWidth', 11);
    big.setAttribute('markerHeight', 11);
    this.svg.append(draw('defs', {}, arrow('arrow', 'var(--edge)'), arrow('arrow-across', 'var(--edge-across)'), big), world);
    this.svg.addEventListener('wheel', (e) => {
      e.preventDefault();
      this.zoom(Math.exp(-e.deltaY * (e.deltaMode ? 0.05 : 0.0016)), e.offsetX, e.offsetY);
    }, { passive: false });
    this.drag();
    $('map').addEventListener('pointerdown', (e) => this.jump(e));
    new ResizeObserver(() => (this.moved ? this.apply() : this.fit())).observe(this.svg);
  },

  drag() {
    let from = null;
    this.svg.addEventListener('pointerdown', (e) => {
      from = { x: e.clientX, y: e.clientY, vx: this.view.x, vy: this.view.y, far: false };
    });
    this.svg.addEventListener('pointermove', (e) => {
      if (!from || !e.buttons) return;
      const [dx, dy] = [e.clientX - from.x, e.clientY - from.y];
      if (!from.far && Math.hypot(dx, dy) < 4) return;
      if (!from.far) this.svg.setPointerCapture(e.pointerId);
      from.far = this.moved = true;
      this.svg.classList.add('drag');
      Object.assign(this.view, { x: from.vx + dx, y: from.vy + dy });
      this.apply();
    });
    this.svg.addEventListener('pointerup', () => {
      this.dragged = Boolean(from && from.far);
      from = null;
      this.svg.classList.remove('drag');
    });
    this.svg.addEventListener('click', (e) => {
      if (!this.dragged && !e.target.closest('.node, .frame')) choose(null);
    });
  },

  show(step) {
    const small = step.vertices.length <= 600;
    // The first drawing stands there at once; what later steps bring in appears.
    this.world.classList.toggle('smooth', small && this.step !== null);
    this.step = step;
    // Second lines are not seen from afar: large graphs get them when somebody comes near.
    this.detailed = small;
    this.world.classList.toggle('changes', step.ms !== null && step.count.kept > 0);
    this.index = new Map(step.vertices.map((v, i) => [v.key, i]));
    this.readers = step.vertices.map(() => []);
    step.vertices.forEach((v, i) => v.reads.forEach((a) => this.readers[a].push(i)));
    this.layers.frames.replaceChildren(...step.frames.map((f) => this.frame(f)));
    const buffer = (r) => r[3].startsWith('buffer');
    this.layers.buffers.replaceChildren(...step.routes.filter(buffer).map((r) => this.edge(r)));
    this.layers.edges.replaceChildren(...step.routes.filter((r) => !buffer(r)).map((r) => this.edge(r)));
    const gone = new Set(this.nodes.keys());
    const fresh = document.createDocumentFragment();
    for (const v of step.vertices) {
      let node = this.nodes.get(v.key);
      gone.delete(v.key);
      if (!node) {
        this.nodes.set(v.key, (node = draw('g', { 'data-key': v.key })));
        node.addEventListener('click', () => { if (!this.dragged) choose(v.key); });
        fresh.append(node);
      }
      this.dress(node, v, !node.firstChild);
    }
    for (const key of gone) {
      this.nodes.get(key).remove();
      this.nodes.delete(key);
    }
    this.layers.nodes.append(fresh);
  },

  dress(node, v, fresh) {
    const pin = v.ir === undefined && v.status !== 'removed';
    node.setAttribute('class', `node side${v.side} ${v.status} ${pin ? `pin ${v.kind}` : ''} ${v.repeated ? 'repeated' : ''} ${fresh ? 'fresh' : ''}`);
    const colour = pin ? undefined : this.colourOf(v);
    if (colour) node.style.setProperty('--kind', colour);
    node.style.transform = `translate(${v.x}px, ${v.y}px)`;
    const [w, h] = [v.w, v.h];
    const parts = [draw('rect', { class: 'box', x: -w / 2, y: -h / 2, width: w, height: h, rx: pin ? h / 2 : 7 })];
    if (!pin) {
      parts.push(draw('rect', { class: 'strip', x: -w / 2 + 4, y: -h / 2 + 6, width: 3, height: h - 12, rx: 1.5 }));
    }
    const x = pin ? 0 : -w / 2 + 13;
    const anchor = pin ? 'middle' : 'start';
    const first = draw('text', { class: 'first', x, y: v.second ? -2 : 4.5, 'text-anchor': anchor });
    first.textContent = v.first;
    parts.push(first);
    if (this.detailed) parts.push(this.second(v));
    // Seen from afar only the first line is left, as large as it fits.
    const size = Math.max(13, Math.min(15.5, ((w - 18) / Math.max(v.first.length, 1)) * 1.64));
    node.style.setProperty('--far', `${size.toFixed(1)}px`);
    node.style.setProperty('--drop', v.second ? `${(size * 0.36 + 2).toFixed(1)}px` : '0px');
    node.replaceChildren(...parts);
  },

  second(v) {
    const pin = v.ir === undefined && v.status !== 'removed';
    const text = draw('text', { class: 'second', x: pin ? 0 : -v.w / 2 + 13, y: 12.5, 'text-anchor': pin ? 'middle' : 'start' });
    text.textContent = v.second;
    return text;
  },

  colourOf(v) {
    const kernel = v.kernel ?? kernelOf.get(v.key);
    return this.colour === 'kernel' && kernel ? strong(kernel) : (KINDS[v.kind] ?? KINDS.plan)[1];
  },

  edge([a, b, points, style]) {
    const across = style.includes('across');
    let d = `M${points[0]} ${points[1]}`;
    for (let i = 2; i < points.length; i += 2) {
      const [x0, y0, x1, y1] = points.slice(i - 2, i + 2);
      const [mx, my] = [(x0 + x1) / 2, (y0 + y1) / 2];
      d += across ? `C${mx} ${y0} ${mx} ${y1} ${x1} ${y1}` : `C${x0} ${my} ${x1} ${my} ${x1} ${y1}`;
    }
    const marker = style.startsWith('buffer') ? 'thick' : across ? 'arrow-across' : 'arrow';
    const path = draw('path', { d, class: `edge ${style} fresh`, 'marker-end': `url(#${marker})` });
    if (style.startsWith('buffer')) {
      const v = this.step.vertices[a];
      path.addEventListener('mousemove', (e) => showTip(e, `${v.name || v.op}\n${bytes(v.bytes)}`));
      path.addEventListener('mouseleave', hideTip);
    }
    return path;
  },

  frame(f) {
    const k = kernelNamed.get(f.kernel);
    const title = draw('text', { class: 'title', x: f.x + 14, y: f.y + 21 });
    title.textContent = f.kernel;
    const parts = [draw('rect', { x: f.x, y: f.y, width: f.w, height: f.h, rx: 14, css: { fill: tint(f.kernel), stroke: rim(f.kernel) } }), title];
    if (k) {
      const text = `${k.class} · ${k.phase} · ${bytes(k.bytes_moved)}`;
      const fits = (title, about) => f.kernel.length * title + text.length * about + 38 < f.w;
      if (fits(8, 6)) {
        const about = draw('text', { class: fits(11.6, 8.2) ? 'about' : 'about tight', x: f.x + f.w - 14, y: f.y + 21, 'text-anchor': 'end' });
        about.textContent = text;
        parts.push(about);
      }
    }
    const onclick = () => { if (!this.dragged) chooseKernel(f.kernel); };
    return draw('g', { class: 'frame fresh', 'data-kernel': f.kernel, onclick }, ...parts);
  },

  /** Mark the chosen node, what it reads and who reads it, with lines to all of them. */
  mark(key, kernel, hits) {
    for (const node of this.layers.nodes.children) node.classList.remove('chosen', 'near', 'hit');
    for (const frame of this.layers.frames.children) frame.classList.toggle('chosen', frame.dataset.kernel === kernel);
    for (const hit of hits) this.nodes.get(hit)?.classList.add('hit');
    const lines = [];
    const at = this.index.get(key);
    if (at !== undefined) {
      this.nodes.get(key).classList.add('chosen');
      const all = this.step.vertices;
      const line = (a, b, way) => {
        const [p, q] = [all[a], all[b]];
        const my = (p.y + q.y) / 2;
        lines.push(draw('path', { class: `edge chosen ${way}`, d: `M${p.x} ${p.y}C${p.x} ${my} ${q.x} ${my} ${q.x} ${q.y}` }));
        this.nodes.get(all[way === 'in' ? a : b].key).classList.add('near');
      };
      all[at].reads.slice(0, 40).forEach((a) => line(a, at, 'in'));
      this.readers[at].slice(0, 40).forEach((b) => line(at, b, 'out'));
    }
    this.layers.links.replaceChildren(...lines);
    if (lines.length) this.layers.nodes.before(this.layers.links);
  },

  // -- pan and zoom ---------------------------------------------------------------------------------------------------

  apply() {
    const { x, y, k } = this.view;
    this.world.setAttribute('transform', `translate(${x} ${y}) scale(${k})`);
    this.world.classList.toggle('far', k < 0.5);
    this.world.classList.toggle('tiny', k < 0.2);
    if (k >= 0.5 && !this.detailed) {
      this.detailed = true;
      for (const v of this.step.vertices) this.nodes.get(v.key).append(this.second(v));
    }
    this.map();
  },

  zoom(factor, x = this.svg.clientWidth / 2, y = this.svg.clientHeight / 2) {
    const k = Math.min(Math.max(this.view.k * factor, 0.02), 4);
    this.view = { k, x: x - ((x - this.view.x) * k) / this.view.k, y: y - ((y - this.view.y) * k) / this.view.k };
    this.moved = true;
    this.apply();
  },

  /** The whole graph, or where that would be too small to read, its first column at full height. */
  fit(whole = false) {
    if (!this.step) return;
    const [W, H, w, h] = [this.svg.clientWidth, this.svg.clientHeight, this.step.width || 1, this.step.height || 1];
    const [top, side, bottom] = [54, 36, 62];
    const all = Math.min((W - 2 * side) / w, (H - top - bottom) / h, 1.25);
    const k = whole ? all : Math.max(all, 0.42);
    const x = k > all && k * w > W - 2 * side ? side : (W - k * w) / 2;
    const y = k > all && k * h > H - top - bottom ? top : top + (H - top - bottom - k * h) / 2;
    this.view = { k, x, y };
    this.moved = false;
    this.apply();
  },

  centre(key) {
    const v = this.step.vertices[this.index.get(key)];
    if (v) this.point(v.x, v.y);
  },

  point(x, y) {
    const k = Math.max(this.view.k, 0.8);
    this.view = { k, x: this.svg.clientWidth / 2 - x * k, y: this.svg.clientHeight / 2 - y * k };
    this.moved = true;
    this.apply();
  },

  /** Whether a point of the drawing is in sight. */
  sees(v) {
    const [x, y] = [v.x * this.view.k + this.view.x, v.y * this.view.k + this.view.y];
    return x > 40 && y > 60 && x < this.svg.clientWidth - 40 && y < this.svg.clientHeight - 60;
  },
};
