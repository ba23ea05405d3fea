"""Export to StableHLO: parsed, verified and run by jaxlib's own reference interpreter, held against ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_pipeline_ops import SEED, cases, single_op_module

import gradc as gc
from gradc.cli import main
from gradc.codegen.stablehlo import stablehlo_text
from gradc.codegen.stablehlo_ops import SCALAR
from gradc.codegen.stablehlo_shape import STRUCTURE
from gradc.ir.errors import GradValueError, NotDifferentiableError, UnsupportedError
from gradc.ir.graph import Module
from gradc.ir.interpret import run_module
from gradc.ir.op import REGISTRY
from gradc.passes.pipeline import run_pipeline


@pytest.fixture(scope="module")
def evaluate() -> Any:
    """(text, arrays, types) -> arrays, by jaxlib; without arrays the text is only parsed and verified."""
    reason = "jaxlib's StableHLO interpreter is not installed"
    ir = pytest.importorskip("jaxlib.mlir.ir", reason=reason)
    from jaxlib.mlir._mlir_libs import _jax_mlir_ext
    from jaxlib.mlir.dialects import stablehlo

    context = ir.Context()
    registry = ir.DialectRegistry()
    _jax_mlir_ext.register_dialects(registry)
    context.append_dialect_registry(registry)
    stablehlo.register_dialect(context)
    context.load_all_available_dialects()

    def run(text: str, arrays: list[np.ndarray] | None, types: list[Any]) -> list[np.ndarray]:
        with context:
            module = ir.Module.parse(text)
            module.operation.verify()
            if arrays is None:
                return []
            given = []
            for a, t in zip(arrays, types, strict=True):
                element = ir.Type.parse(t.dtype.name)
                given.append(ir.DenseElementsAttr.get(np.ascontiguousarray(a), type=element, shape=list(t.shape)))
            return [np.array(r) for r in stablehlo.eval_module(module, given)]

    return run


def exported(module: Module) -> tuple[Module, str]:
    done = run_pipeline(module, "adjoint,decompose").module
    return done, stablehlo_text(done)


def empty_product(module: Module) -> bool:
    """Whether the program has a product over an empty dimension, which jaxlib's interpreter aborts at."""
    main_graph = module.main
    return any(
        not main_graph.types[n.operands[0]].numel or not main_graph.types[n.operands[1]].numel
        for n in main_graph.nodes
        if n.op.name == "grad.contract"
    )


def agree(evaluate: Any, module: Module, text: str, arrays: list[np.ndarray]) -> None:
    """jaxlib's results are those of our interpreter."""
    main_graph = module.main
    types = [main_graph.types[v] for v in main_graph.inputs]
    expected = run_module(module, arrays)
    actual = evaluate(text, arrays, types)
    assert len(actual) == len(expected)
    for got, want in zip(actual, expected, strict=True):
        assert got.shape == want.shape
        if want.dtype.kind in "biu":
            np.testing.assert_array_equal(got, want)
            continue
        tolerance = {2: 2e-2, 4: 3e-5, 8: 1e-10}[want.dtype.itemsize]
        scale = float(np.max(np.abs(want), initial=0.0, where=np.isfinite(want))) + 1e-30
        np.testing.assert_allclose(
            got.astype(np.float64), want.astype(np.float64), rtol=tolerance, atol=tolerance * scale
        )


@pytest.mark.parametrize(("name", "index"), cases())
def test_every_op_and_its_gradient(evaluate: Any, name: str, index: int) -> None:
    rng = np.random.default_rng(SEED + index)
    entry = REGISTRY[name].sample(np.random.default_rng(SEED))[index]
    arrays = [np.asarray(a) for a in entry[0]]
    try:
        module, text = exported(single_op_module(name, arrays, entry[1], bool(REGISTRY[name].adjoint)))
    except NotDifferentiableError:
        module, text = exported(single_op_module(name, arrays, entry[1], False))
    for v in module.main.inputs[len(arrays) :]:
        t = module.main.types[v]
        arrays.append(rng.standard_normal(t.shape).astype(t.dtype.numpy))
    if empty_product(module):
        evaluate(text, None, [])
        return
    agree(evaluate, module, text, arrays)


def network(w1: Any, b1: Any, w2: Any, x: Any, y: Any) -> Any:
    h = gc.nn.functional.layer_norm(gc.tanh(x @ w1 + b1), (6,))
    return gc.nn.functional.cross_entropy(h @ w2, y, label_smoothing=0.1)


def logistic(w: Any, b: Any, x: Any, y: Any) -> Any:
    return gc.nn.functional.binary_cross_entropy(gc.sigmoid(x @ w + b), y)


def embedded(table: Any, index: Any) -> Any:
    return gc.nn.functional.embedding(index, table).square().cumsum(0).logsumexp(1).sum()


PROGRAMS = {
    "network": (network, ["f32[5,6]!", "f32[6]!", "f32[6,4]!", "f32[7,5]", "i64[7]"]),
    "logistic": (logistic, ["f32[5]!", "f32[]!", "f32[9,5]", "f32[9]"]),
    "embedded": (embedded, ["f32[4,3]!", "i64[6]"]),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_whole_joint_programs(evaluate: Any, name: str, rng: np.random.Generator) -> None:
    fn, specs = PROGRAMS[name]
    program = gc.build(fn, *[gc.spec(s.removesuffix("!"), requires_grad=s.endswith("!")) for s in specs])
    for passes in ("decompose", "decompose,simplify,cse,dce"):
        module = run_pipeline(program.joint, passes).module
        arrays = []
        for v in module.main.inputs:
            t = module.main.types[v]
            arrays.append(rng.integers(0, 4, t.shape) if t.dtype.kind == "int" else rng.random(t.shape, np.float32))
        agree(evaluate, module, stablehlo_text(module), arrays)


def test_what_is_refused_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.ones(3, np.float32)
    with pytest.raises(GradValueError, match="takes a module at decomposed or simplified, got one at 'traced'"):
        stablehlo_text(single_op_module("grad.exp", [x], {}, False))
    monkeypatch.delitem(STRUCTURE, "permute")
    with pytest.raises(UnsupportedError, match="stablehlo: permute has no counterpart in StableHLO"):
        exported(single_op_module("grad.permute", [np.ones((2, 3), np.float32)], {"dims": (1, 0)}, False))


def test_every_scalar_op_has_a_row() -> None:
    scalars = {op.short for op in REGISTRY.values() if "scalar" in op.traits}
    assert len(scalars) > 30
    assert scalars == set(SCALAR)


def test_names_of_users_stay_names() -> None:
    module = single_op_module("grad.exp", [np.ones(3, np.float32)], {}, False)
    module.main.input_attrs[0]["name"] = module.main.names[0] = 'x"}) -> ()\n  evil'
    _, text = exported(module)
    assert "evil" not in text.replace("_evil", "")
    assert text.count("\n") == 6


def test_the_command(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(
        "import gradc as gc\n\ndef f(x):\n    return (x * x).sum()\n\ngradc_args = {'f': ['f32[3]!']}\n"
    )
    assert main(["stablehlo", "model.py:f"]) == 0
    text = capsys.readouterr().out
    assert "func.func public @main(%x: tensor<3xf32>) -> (tensor<f32>, tensor<3xf32>)" in text
    assert main(["build", "model.py:f", "-o", "OUT"]) == 0
    for stage in ("0_traced", "1_joint", "2_simplified"):
        assert main(["stablehlo", f"OUT/{stage}.mlir", "-o", f"{stage}.stablehlo"]) == 0
        assert "@main(%x: tensor<3xf32>)" in (tmp_path / f"{stage}.stablehlo").read_text()
    assert main(["stablehlo", "OUT/3_scheduled.mlir"]) == 1
    said = "error: OUT/3_scheduled.mlir is at state 'scheduled': its operations are in kernels already"
    assert said in capsys.readouterr().err
