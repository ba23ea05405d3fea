/** The arena over the launches: x is the launch, y the offset. */
const gantt = {
  show() {
    const { arena, bound, slots, launches } = DATA.memory;
    const open = $('fold').getAttribute('aria-expanded') === 'true';
    $('arena').textContent = slots.length
      ? `arena ${bytes(arena)} · lower bound ${bytes(bound)} · ${plural(slots.length, 'buffer')} over ${plural(launches.length, 'launch')}`
      : 'no buffer lives in the arena';
    $('gantt').hidden = !open || !slots.length;
    if ($('gantt').hidden) return;
    const [left, height, foot] = [76, 150, 20];
    const room = Math.max($('memory').clientWidth - 36 - left - 20, 100);
    const column = Math.max(Math.min(room / launches.length, 220), 4);
    const width = left + column * launches.length + 10;
    const y = (offset) => 6 + (height * offset) / Math.max(arena, 1);
    const x = (launch) => left + column * launch;
    const picture = draw('svg', { width, height: height + foot + 8, role: 'img', 'aria-label': 'Arena over launches' });
    const label = (text, tx, ty, anchor) => {
      const t = draw('text', { x: tx, y: ty, 'text-anchor': anchor });
      t.textContent = text;
      return t;
    };
    const chosen = launches.indexOf(state.kernel);
    if (chosen >= 0) picture.append(draw('rect', { class: 'launch', x: x(chosen), y: 6, width: column, height }));
    for (let i = 0; i <= 4; i++) {
      const at = y((arena * i) / 4);
      picture.append(draw('line', { class: 'grid', x1: left, x2: width - 10, y1: at, y2: at }), label(bytes(Math.round((arena * i) / 4)), left - 8, at + 4, 'end'));
    }
    const longest = 6.4 * Math.max(...launches.map((name) => name.length)) + 12;
    const named = longest <= Math.max(column, 96);
    const every = Math.ceil((named ? longest : 44) / column);
    launches.forEach((name, i) => {
      if (i % every) return;
      const short = named ? name : String(i);
      picture.append(label(short, x(i) + (column * Math.min(every, launches.length - i)) / 2, height + 22, 'middle'));
    });
    for (const s of slots) picture.append(this.slot(s, x(s.first), y(s.offset), column * (s.last - s.first + 1), y(s.offset + s.bytes) - y(s.offset)));
    if (bound < arena) picture.append(draw('line', { class: 'bound', x1: left, x2: width - 10, y1: y(bound), y2: y(bound) }));
    $('gantt').replaceChildren(picture);
  },

  slot(s, x, y, w, h) {
    const text = `${s.name}  ${s.type}\n${bytes(s.bytes)} at offset ${count(s.offset)}\nlaunches ${s.first} to ${s.last}, ${s.kind}`
      + `${s.alias_of ? `\nin place of ${s.alias_of}` : ''}${s.kernel ? `\nwritten by ${s.kernel}` : ''}`;
    const box = draw('rect', { x: x + 1.5, y: y + 0.75, width: Math.max(w - 3, 2), height: Math.max(h - 1.5, 1.5), rx: Math.min(4, h / 3),
      css: { fill: tint(s.kernel), stroke: rim(s.kernel) }, 'stroke-dasharray': s.alias_of ? '4 3' : undefined });
    const group = draw('g', { class: `slot ${state.kernel === s.kernel ? 'chosen' : ''}`, 'data-slot': s.name,
      onmousemove: (e) => showTip(e, text), onmouseleave: hideTip, onclick: () => chooseKernel(s.kernel) }, box);
    if (h >= 13 && w > 30) {
      const fit = Math.floor((w - 12) / 6.8);
      const name = draw('text', { x: x + 8, y: y + Math.min(h / 2 + 4, 16) });
      const full = `${s.name}  ${bytes(s.bytes)}`;
      name.textContent = full.length <= fit ? full : s.name.length <= fit ? s.name : fit > 2 ? `${s.name.slice(0, fit - 1)}…` : '';
      group.append(name);
    }
    return group;
  },
};
