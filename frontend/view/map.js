/** The small map of the whole graph. */
Object.assign(scene, {
  map() {
    const canvas = $('map');
    const { width: w, height: h, vertices, frames } = this.step;
    const { x, y, k } = this.view;
    const seen = { x: -x / k, y: -y / k, w: this.svg.clientWidth / k, h: this.svg.clientHeight / k };
    const fits = seen.x <= 5 && seen.y <= 5 && seen.x + seen.w >= w - 5 && seen.y + seen.h >= h - 5;
    canvas.style.display = fits ? 'none' : '';
    if (fits) return;
    const scale = (this.scale = Math.min(184 / w, 104 / h));
    const [ox, oy] = (this.origin = [(200 - w * scale) / 2, (120 - h * scale) / 2]);
    const pen = canvas.getContext('2d');
    const css = getComputedStyle(document.documentElement);
    pen.clearRect(0, 0, 200, 120);
    const block = (b, colour, centred) => {
      pen.fillStyle = colour;
      const [bw, bh] = [Math.max(b.w * scale, 1), Math.max(b.h * scale, 1)];
      pen.fillRect(ox + (centred ? b.x - b.w / 2 : b.x) * scale, oy + (centred ? b.y - b.h / 2 : b.y) * scale, bw, bh);
    };
    for (const f of frames) block(f, `hsl(${hue(f.kernel)} 55% 70%)`, false);
    const plain = css.getPropertyValue('--faint');
    const back = css.getPropertyValue('--edge-across');
    const added = css.getPropertyValue('--added');
    const changed = this.world.classList.contains('changes');
    for (const v of vertices) block(v, v.status === 'added' && changed ? added : v.side ? back : plain, true);
    pen.strokeStyle = css.getPropertyValue('--accent');
    pen.lineWidth = 1.5;
    pen.strokeRect(ox + seen.x * scale, oy + seen.y * scale, seen.w * scale, seen.h * scale);
  },

  jump(e) {
    const [ox, oy] = this.origin;
    const { k } = this.view;
    const [x, y] = [(e.offsetX - ox) / this.scale, (e.offsetY - oy) / this.scale];
    this.view = { k, x: this.svg.clientWidth / 2 - x * k, y: this.svg.clientHeight / 2 - y * k };
    this.moved = true;
    this.apply();
  },
});
