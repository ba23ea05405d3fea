"""One self-contained HTML page: the data as JSON, a style sheet and a script of our own. Nothing is loaded from
anywhere; the page's own policy forbids it. No text of the user's becomes markup: it all stands in the JSON, in which
`<`, `>` and `&` are escaped, and the script only ever sets `textContent`."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Any

from gradc.ir.graph import Module
from gradc.runtime.target import Target

from . import describe
from .scene import Scene, scene
from .steps import History, Step, history

DRAWING = ("vertices", "routes", "frames", "width", "height")
"""The parts of a step that are only needed once it is shown."""
SCRIPTS = ("base.js", "scene.js", "map.js", "panel.js", "gantt.js", "main.js")


def page(module: Module, target: Target, *, split: bool = False, folders: list[Path] | None = None) -> str:
    """The page of a module, taken through every pass that is still before it."""
    return render(data(history(module, split), module.entry, target, folders or []))


def data(found: History, name: str, target: Target, folders: list[Path]) -> dict[str, Any]:
    """Everything the page shows, as plain data."""
    kernels = describe.kernels(found, target)
    steps, places = [], set()
    before: Step | None = None
    for step in found.steps:
        shown = _step(step, scene(step, before))
        steps.append(shown)
        before = step
        places |= {n.loc[:2] for p in step.parts for n in p.graph.nodes if n.loc is not None}
    return {
        "name": name,
        "target": target.name,
        "steps": steps,
        "kernel_of": {v["key"]: v["kernel"] for s in steps for v in s["vertices"] if "kernel" in v},
        "kernels": kernels,
        "memory": describe.memory(found),
        "remarks": [{"text": str(r), **r.to_json()} for r in found.remarks],
        "lines": describe.source_lines(sorted(places), folders),
    }


def _step(step: Step, drawn: Scene) -> dict[str, Any]:
    ir = [describe.ir_lines(p.graph) for p in step.parts]
    vertices = []
    for i, v in enumerate(drawn.vertices):
        (x, y), (w, h) = drawn.at[i], drawn.sizes[i]
        first, second = drawn.texts[i]
        entry: dict[str, Any] = {
            "key": v.key, "x": round(x, 1), "y": round(y, 1), "w": round(w, 1), "h": h, "op": v.label, "first": first,
            "second": second, "kind": v.kind, "side": v.side, "status": v.status, "bytes": v.bytes, "reads": v.reads,
        }  # fmt: skip
        if v.name:
            entry["name"] = v.name
        if v.kernel:
            entry["kernel"] = v.kernel
        if v.repeated:
            entry["repeated"] = True
        if v.node is not None:
            p, k = v.node
            node = step.parts[p].graph.nodes[k]
            entry["ir"] = ir[p][k]
            if node.loc is not None:
                entry["loc"] = [node.loc.file, node.loc.line]
        vertices.append(entry)
    nodes = Counter(v.status for v in drawn.vertices if v.node is not None or v.status == "removed")
    return {
        "name": step.name,
        "state": step.state,
        "ms": None if step.seconds is None else round(step.seconds * 1e3, 3),
        "count": {s: nodes[s] for s in ("kept", "added", "removed")},
        "vertices": vertices,
        "routes": [[a, b, [round(c, 1) for c in points], style] for a, b, points, style in drawn.routes],
        "frames": drawn.frames,
        "width": round(drawn.width, 1),
        "height": round(drawn.height, 1),
    }


def render(shown: dict[str, Any]) -> str:
    """Data to HTML. Every step's drawing stands in an element of its own, which the script reads when it is shown."""
    own = resources.files(__package__)
    style = (own / "page.css").read_text(encoding="utf-8")
    body = (own / "body.html").read_text(encoding="utf-8")
    script = "(() => {\n'use strict';\n" + "".join((own / s).read_text(encoding="utf-8") for s in SCRIPTS) + "})();\n"
    policy = f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; base-uri 'none'"
    drawings = [{k: s[k] for k in DRAWING} for s in shown["steps"]]
    head = {**shown, "steps": [{k: v for k, v in s.items() if k not in DRAWING} for s in shown["steps"]]}
    steps = "".join(
        f"<script type='application/json' id='step{i}'>{as_json(d)}</script>\n" for i, d in enumerate(drawings)
    )
    title = html.escape(shown["name"].encode("utf-8", "replace").decode())
    return (
        "<!doctype html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        f"<title>{title} · gradc</title>\n<style>{style}</style>\n</head>\n<body>\n{body}"
        f"{steps}<script type='application/json' id='data'>{as_json(head)}</script>\n<script>{script}</script>\n"
        "</body>\n</html>\n"
    )


def as_json(shown: Any) -> str:
    """JSON that can stand inside a script element."""
    text = json.dumps(shown, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
