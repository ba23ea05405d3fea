"""`gradc view`: the drawing has no overlaps, changes are told right, hostile text stays text, and the page works in a
browser (Debian's chromium, driven by selenium)."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gradc as gc
from gradc.cli import main
from gradc.ir.graph import Loc
from gradc.runtime.target import target
from gradc.view import page
from gradc.view.arrange import BACKWARD, FORWARD, Item, arrange
from gradc.view.layers import fit
from gradc.view.page import as_json, data, render
from gradc.view.scene import scene
from gradc.view.steps import history

MODEL = """import gradc as gc

def loss(w, b, x, y):
    p = gc.sigmoid(x @ w + b)
    return gc.nn.functional.binary_cross_entropy(p, y)

def net(w1, b1, w2, x, y):
    h = gc.tanh(x @ w1 + b1)
    return gc.nn.functional.cross_entropy(h @ w2, y)

gradc_args = {
    "loss": ["f32[5]!", "f32[]!", "f32[9,5]", "f32[9]"],
    "net": ["f32[5,6]!", "f32[6]!", "f32[6,4]!", "f32[7,5]", "i64[7]"],
}
"""


def loss(w: Any, b: Any, x: Any, y: Any) -> Any:
    p = gc.sigmoid(x @ w + b)
    return gc.nn.functional.binary_cross_entropy(p, y)


def chain(x: Any, y: Any) -> Any:
    h = x
    for i in range(320):
        h = (h * 1.01 + y).sin() if i % 2 else (h - y).tanh()
    return h.mean()


def build(fn: Any, *specs: str, **more: Any) -> Any:
    return gc.build(fn, *[gc.spec(s.removesuffix("!"), requires_grad=s.endswith("!")) for s in specs], **more)


def traced(program: Any) -> Any:
    return program.stages.modules["traced"]


@pytest.fixture(scope="module")
def small() -> Any:
    return build(loss, "f32[30]!", "f32[]!", "f32[569,30]", "f32[569]")


@pytest.fixture(scope="module")
def large() -> Any:
    return build(chain, "f32[64,32]!", "f32[64,32]!")


def overlaps(shown: Any) -> list[tuple[str, str]]:
    """Pairs of nodes whose boxes overlap, by a sweep over y."""
    boxes = sorted(
        ((y - h / 2, y + h / 2, x - w / 2, x + w / 2, v.key)
         for v, (x, y), (w, h) in zip(shown.vertices, shown.at, shown.sizes, strict=True))
    )  # fmt: skip
    live: list[Any] = []
    out = []
    for box in boxes:
        live = [other for other in live if other[1] > box[0]]
        out += [(other[4], box[4]) for other in live if other[2] < box[3] and box[2] < other[3]]
        live.append(box)
    return out


@pytest.mark.parametrize("split", [False, True])
def test_nothing_overlaps_at_any_step(small: Any, large: Any, split: bool) -> None:
    for program in (small, large):
        module = traced(program)
        if split:
            module.attrs["cotangents"] = "inputs"
        found = history(module, split)
        module.attrs["cotangents"] = "ones"
        before = None
        for step in found.steps:
            assert not overlaps(scene(step, before)), step.name
            before = step


def test_forward_flows_down_and_backward_up(small: Any) -> None:
    step = next(s for s in history(traced(small)).steps if s.state == "joint")
    shown = scene(step, None)
    where = {v.key: at for v, at in zip(shown.vertices, shown.at, strict=True)}
    for v in shown.vertices:
        for a in v.reads:
            other = shown.vertices[a]
            if other.side == v.side == FORWARD:
                assert where[other.key][1] < where[v.key][1]
            elif other.side == v.side == BACKWARD:
                assert where[other.key][1] > where[v.key][1]
    left = [where[v.key][0] for v in shown.vertices if v.side == FORWARD]
    right = [where[v.key][0] for v in shown.vertices if v.side == BACKWARD]
    assert max(left) < min(right)


def test_changes_of_each_pass(small: Any) -> None:
    found = history(traced(small))
    shown = data(found, "loss", target("cuda:90"), [])
    steps = {s["name"]: s for s in shown["steps"]}
    changed = {
        name: {kind: sorted(v["op"] for v in s["vertices"] if v["status"] == kind) for kind in ("added", "removed")}
        for name, s in steps.items()
    }
    assert changed["inline"] == {"added": [], "removed": []}
    assert changed["adjoint"]["removed"] == []
    assert "contract" in changed["adjoint"]["added"]
    assert changed["decompose"]["removed"] == ["binary_cross_entropy", "mv"]
    assert "log1p" in changed["decompose"]["added"]
    assert changed["cse"]["added"] == []
    assert changed["plan-memory"] == {"added": [], "removed": []}
    kernels = {v["kernel"] for v in steps["fuse"]["vertices"] if "kernel" in v}
    assert kernels <= {k["name"] for k in shown["kernels"]}
    assert {f["kernel"] for f in steps["fuse"]["frames"]} == kernels


def test_the_drawing_is_linear(large: Any) -> None:
    start = time.process_time()
    found = history(traced(large))
    shown = data(found, "chain", target("cuda:90"), [])
    seconds = time.process_time() - start
    assert len(shown["steps"][-1]["vertices"]) > 2000
    assert seconds < 20


def test_columns_of_deep_graphs() -> None:
    items = [Item(FORWARD, lambda far: (80.0, 38.0)) for _ in range(1000)]
    plan = arrange(items, [(i, i + 1) for i in range(999)])
    assert 1 < plan.width / plan.height < 4
    assert len({x for x, _ in plan.at}) > 5


def test_fit_keeps_distances_and_order() -> None:
    assert fit([10, 10, 10], [0, 0, 0], [1, 1, 1]) == [-10, 0, 10]
    assert fit([10, 10], [0, 100], [1, 1]) == [0, 100]
    assert fit([10, 10], [5, 0], [1000, 1]) == pytest.approx([5, 15], abs=0.02)


HOSTILE = (
    '</script><script>window.hit = 1</script><img src=x onerror="window.hit = 1">'
    "\u2028\udc80 & ' \" ${window.hit = 1} <!--"
)


def hostile() -> Any:
    module = traced(build(loss, "f32[5]!", "f32[]!", "f32[9,5]", "f32[9]"))
    graph = module.main
    for v, attrs in zip(graph.inputs, graph.input_attrs, strict=True):
        graph.names[v] = attrs["name"] = HOSTILE
    for node in graph.nodes:
        node.loc = Loc(HOSTILE, 3, 1)
        graph.names[node.results[0]] = HOSTILE
    module.graphs = {HOSTILE: graph}
    module.entry = HOSTILE
    return module


def test_hostile_names_stay_text() -> None:
    text = page(hostile(), target("cuda:90"))
    steps = text.count("type='application/json'") - 1
    assert steps > 5
    assert text.count("<script") == text.count("</script") == steps + 2
    assert "<img" not in text
    found = re.search(r"id='data'>(.*?)</script>", text)
    assert found is not None
    assert not set("\u2028<>&") & set(found[1])
    shown = json.loads(found[1])
    assert shown["name"] == HOSTILE
    assert HOSTILE in shown["kernels"][0]["reads"]
    assert "window.hit = 1" not in text[text.rindex("<script>") :]


def test_json_in_a_script_element() -> None:
    text = as_json({"a": "</script>&\u2029"})
    assert not set("<>&\u2029") & set(text)
    assert json.loads(text) == {"a": "</script>&\u2029"}


def test_only_own_python_files_are_quoted(tmp_path: Path) -> None:
    secret = tmp_path / "secret.py"
    secret.write_text("TOKEN = 1\n" * 9)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "notes.txt").write_text("TOKEN\n" * 9)
    (inside / "model.py").write_text("x = 1\n" * 9)
    module = traced(build(loss, "f32[5]!", "f32[]!", "f32[9,5]", "f32[9]"))
    places = ["../secret.py", str(secret), "notes.txt", "model.py", "\0.py"]
    for node, file in zip(module.main.nodes * 2, places, strict=False):
        node.loc = Loc(file, 3, 1)
    shown = data(history(module), "loss", target("cpu"), [inside])
    assert set(shown["lines"]) <= {"model.py"}


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    assert main(["view", "model.py:loss", "--target", "cuda:90"]) == 0
    text = (tmp_path / "loss.html").read_text()
    assert "p = gc.sigmoid(x @ w + b)" in text
    assert "https:" not in text
    assert main(["view", "model.py:loss", "--split", "--cotangent", "f32[]", "-o", "split.html"]) == 0
    assert main(["build", "model.py:net", "-o", "OUT"]) == 0
    for what in ("OUT", "OUT/0_traced.mlir", "OUT/1_joint.mlir", "OUT/2_simplified.mlir", "OUT/4_planned.mlir"):
        assert main(["view", what, "-o", "net.html"]) == 0
        assert "tl.store" in (tmp_path / "net.html").read_text()
    assert main(["view", "model.py", "-o", "x.html"]) == 1
    assert main(["view", ".", "-o", "x.html"]) == 1
    assert "0_traced.mlir" in capsys.readouterr().err
    assert not (tmp_path / "x.html").exists()


# -- in a browser -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("chromium and chromium-driver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync",
                 "disable-background-networking", "disable-component-update", "window-size=1600,1000",
                 f"user-data-dir={tmp_path_factory.mktemp('chromium')}"):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    running = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield running
    running.quit()


def opened(browser: Any, text: str, folder: Path) -> float:
    """Open a page; seconds until its script was done."""
    file = folder / "page.html"
    file.write_text(text)
    browser.get(file.as_uri())
    assert browser.execute_script("return document.documentElement.dataset.ready") == "yes"
    assert [e for e in browser.get_log("browser") if e["level"] == "SEVERE"] == []
    timing = "const t = performance.timing; return t.loadEventEnd - t.navigationStart"
    return float(browser.execute_script(timing)) / 1e3


def press(browser: Any, key: str) -> None:
    event = "new KeyboardEvent('keydown', {key: arguments[0], bubbles: true})"
    browser.execute_script(f"document.body.dispatchEvent({event})", key)


def panel(browser: Any) -> str:
    return str(browser.execute_script("return document.getElementById('panel').textContent"))


def click(browser: Any, selector: str) -> None:
    browser.execute_script(
        "document.querySelector(arguments[0]).dispatchEvent(new MouseEvent('click', {bubbles: true}))", selector
    )


HEADS = """return [...document.querySelectorAll('.frame')].filter((f) => {
    const [title, about] = ['.title', '.about'].map((c) => f.querySelector(c)?.getBoundingClientRect());
    return about && about.width && title.right > about.left;
}).map((f) => f.textContent)"""
"""Frames whose name runs into what stands beside it."""


def test_the_page_in_a_browser(browser: Any, small: Any, tmp_path: Path) -> None:
    (tmp_path / "test_view.py").write_text(Path(__file__).read_text())
    module = traced(small)
    for node in module.main.nodes:
        if node.loc is not None:
            node.loc = Loc("test_view.py", node.loc.line, node.loc.column)
    opened(browser, page(module, target("cuda:90"), folders=[tmp_path]), tmp_path)
    nodes = "[...document.querySelectorAll('#scene .node')]"
    faint = browser.execute_script(f"return {nodes}.filter((n) => getComputedStyle(n).opacity < 1).length")
    assert faint == 0, "the first drawing is there as soon as the page is"
    ticks = browser.find_elements("css selector", "#ticks button")
    assert [t.find_element("tag name", "b").text for t in ticks][:3] == ["traced", "inline", "adjoint"]
    assert "+12" in ticks[2].text
    added = browser.find_elements("css selector", "#scene .node.added")
    assert len(added) == 12

    node = next(n for n in browser.find_elements("css selector", "#scene .node") if "sigmoid" in n.text)
    node.click()
    text = panel(browser)
    assert "p = gc.sigmoid(x @ w + b)" in text
    assert "grad.sigmoid" in text
    assert "tl.exp" in text

    slider = browser.find_element("id", "slider")
    browser.execute_script(
        "arguments[0].value = 3; arguments[0].dispatchEvent(new Event('input'))", slider
    )
    assert "after decompose" in panel(browser) or "sigmoid" in panel(browser)
    ghosts = browser.find_elements("css selector", "#scene .node.removed")
    assert sorted(g.text.split("\n")[0] for g in ghosts) == ["binary_cross_entropy", "mv"]

    for _ in range(5):
        press(browser, "ArrowRight")
    frames = browser.find_elements("css selector", "#scene .frame")
    assert len(frames) == len(small.kernels)
    click(browser, ".frame")
    assert "@triton.jit" in panel(browser)
    press(browser, "ArrowRight")
    slots = browser.find_elements("css selector", "#gantt .slot")
    assert len(slots) == len(small.memory.slots)
    browser.execute_script(
        "document.querySelector('#gantt .slot').dispatchEvent(new MouseEvent('mousemove', {bubbles: true}))"
    )
    assert "launches" in browser.find_element("id", "tip").text

    search = browser.find_element("id", "search")
    search.send_keys("log1p\n")
    assert browser.find_element("css selector", "#scene .node.chosen").text.startswith("log1p")
    search.clear()
    press(browser, "t")
    assert browser.execute_script("return document.documentElement.dataset.theme") in ("dark", "light")
    press(browser, "?")
    assert browser.find_element("id", "keys").is_displayed()


def test_two_thousand_nodes_open_within_three_seconds(browser: Any, large: Any, tmp_path: Path) -> None:
    text = page(traced(large), target("cuda:90"))
    seconds = min(opened(browser, text, tmp_path) for _ in range(3))
    nodes = browser.execute_script("return document.querySelectorAll('#scene .node').length")
    assert nodes > 2000
    assert seconds < 3, f"{nodes} nodes took {seconds:.2f} s to open"
    browser.find_element("id", "search").send_keys("cos\n")
    assert browser.find_element("css selector", "#scene .node.chosen .first").text.startswith("cos")
    steps = []
    for _ in range(3):
        start = browser.execute_script("return performance.now()")
        press(browser, "ArrowRight")
        steps.append(browser.execute_script("return performance.now()") - start)
    assert min(steps) < 2000


def test_heads_of_kernels_in_a_browser(browser: Any, small: Any, tmp_path: Path) -> None:
    """Frames of many widths, from afar and from near."""
    shown = data(history(traced(small)), "loss", target("cuda:90"), [])
    last = shown["steps"][-1]
    last["frames"] = [{**last["frames"][0], "y": 60 * i, "w": 120 + 15 * i} for i in range(20)]
    opened(browser, render(shown), tmp_path)
    for _ in range(9):
        press(browser, "ArrowRight")
    abouts = "[...document.querySelectorAll('.frame .about')]"
    seen = set()
    for key in "++++--------":
        press(browser, key)
        seen.add(browser.execute_script(f"return {abouts}.filter((a) => a.getBoundingClientRect().width).length"))
        assert browser.execute_script(HEADS) == []
    assert len(seen) == 3
    assert max(seen) > 8


def test_hostile_names_in_a_browser(browser: Any, tmp_path: Path) -> None:
    opened(browser, page(hostile(), target("cuda:90")), tmp_path)
    for _ in range(9):
        press(browser, "ArrowRight")
        press(browser, "j")
    assert browser.execute_script("return window.hit") is None
    assert browser.execute_script("return document.querySelectorAll('img').length") == 0
    assert browser.execute_script("return document.getElementById('name').textContent.startsWith('</script>')")
