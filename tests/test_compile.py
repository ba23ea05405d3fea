"""Triton text to binaries on a machine without a GPU, for every target, through the cache and in parallel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from triton_texts import HEAD, row_sum, scale

from gradc.ir.errors import ExecutorError, TargetError
from gradc.runtime.binary import Binary
from gradc.runtime.cache import Cache
from gradc.runtime.compile import cache_key, compile_kernel, compile_kernels
from gradc.runtime.launch import KernelText
from gradc.runtime.target import GPU_TARGETS, TARGETS, target

pytestmark = pytest.mark.wheel
needs_triton = pytest.mark.skipif(sys.platform != "linux", reason="triton exists for Linux only")


def test_targets_are_known_by_both_names() -> None:
    assert target("cuda:90") is target("sm90") is target(target("cuda:90"))
    assert target("hip:gfx942") is target("gfx942")
    assert (target("gfx942").warp_size, target("gfx1100").warp_size) == (64, 32)
    assert {t.name for t in TARGETS} - set(GPU_TARGETS) == {"cpu"}


@pytest.mark.parametrize("name", ["cuda:91", "", "cuda", "hip:gfx000", "sm_90", "CUDA:90"])
def test_an_unknown_target_is_refused_and_the_known_are_named(name: str) -> None:
    with pytest.raises(TargetError, match=r"unknown target .*\n.*one of cuda:80, cuda:90, .*cpu"):
        target(name)


def test_the_cpu_target_has_no_binaries() -> None:
    with pytest.raises(TargetError, match="'cpu' has no Triton compiler"):
        compile_kernel(scale(), "cpu")


@needs_triton
@pytest.mark.parametrize("name", GPU_TARGETS)
def test_every_target_compiles(name: str) -> None:
    vector, total = compile_kernels([scale(), row_sum(1000, 1024)], name)
    for binary in (vector, total):
        assert binary.target == name
        assert binary.spills == 0
        assert 0 < binary.registers < 64
        assert max(binary.access_bits) == 128
        cuda = name.startswith("cuda")
        assert (binary.ptx is not None, binary.cubin is not None) == (cuda, cuda)
        assert (binary.amdgcn is not None, binary.hsaco is not None) == (not cuda, not cuda)
        assert (binary.sass is not None) == cuda
    assert set(vector.access_bits) == {128}
    assert (vector.shared_bytes, total.shared_bytes > 0) == (0, True)
    assert vector.parameters == ("*fp32", "*fp32", "i32", "fp32")
    assert vector.metadata["name"] == "scale"
    wide = name.startswith("hip:gfx9")
    assert vector.metadata["num_warps"] == (2 if wide else 4), "the same lanes, in waves of 64"


@needs_triton
def test_hints_options_and_constants_arrive() -> None:
    plain = compile_kernel(scale(aligned=False), "cuda:90")
    assert set(plain.access_bits) == {32}
    half = compile_kernel(scale(dtype="bf16"), "cuda:90")
    assert set(half.access_bits) == {128}
    warps = compile_kernel(scale()._replace(num_warps=8, num_stages=3), "cuda:90")
    assert (warps.metadata["num_warps"], warps.metadata["num_stages"]) == (8, 3)
    fused = HEAD + (
        "@triton.jit\ndef fma(x, B: tl.constexpr):\n    i = tl.arange(0, B)\n    v = tl.load(x + i)\n"
        "    tl.store(x + i, v * v + v)\n"
    )
    kernel = KernelText(fused, "fma", {"x": "*fp32", "B": "constexpr"}, {"B": 128})
    for fusion in (True, False):
        ptx = compile_kernel(kernel._replace(enable_fp_fusion=fusion), "cuda:90").ptx
        assert ptx is not None
        assert ("fma.rn.f32" in ptx) is fusion


@needs_triton
def test_the_text_alone_decides_the_binary() -> None:
    """No path, no counter and no address of this process may reach it."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import hashlib, triton_texts; from gradc.runtime.compile import compile_kernel\n"
        "b = compile_kernel(triton_texts.scale(), 'cuda:90')\n"
        "print(hashlib.sha256(b.cubin + b.ptx.encode()).hexdigest())\n"
    )
    hashes = set()
    for value in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", code, str(Path(__file__).parent)],
            env=os.environ | {"PYTHONHASHSEED": value, "TRITON_ALWAYS_COMPILE": "1"},
            cwd="/",
            capture_output=True,
            text=True,
            check=True,
        )
        hashes.add(run.stdout)
    assert len(hashes) == 1


@needs_triton
def test_a_second_build_comes_from_the_cache_without_triton(tmp_path: Path) -> None:
    kernels = [scale(), row_sum(64, 64), scale()]
    first = compile_kernels(kernels, "cuda:90", store=Cache(tmp_path / "c"))
    again = compile_kernels(kernels, "cuda:90", store=Cache(tmp_path / "c"))
    assert again == first
    assert again[0] is again[2]
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import triton_texts; from pathlib import Path\n"
        "from gradc.runtime.cache import Cache; from gradc.runtime.compile import compile_kernel\n"
        "b = compile_kernel(triton_texts.scale(), 'cuda:90', store=Cache(Path(sys.argv[2])))\n"
        "print(b.registers, 'triton' in sys.modules)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / "c")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == [str(first[0].registers), "False"]


@needs_triton
def test_a_binary_survives_its_stored_form() -> None:
    for name in ("cuda:80", "hip:gfx942"):
        binary = compile_kernel(scale(), name)
        assert Binary.from_parts(binary.to_parts()) == binary


def test_the_key_depends_on_all_that_the_binary_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    base, to = scale(), target("cuda:90")
    changed = [
        base._replace(text=base.text + "\n"),
        base._replace(name="other"),
        base._replace(signature=dict(reversed(base.signature.items()))),
        base._replace(signature={**base.signature, "x": "*fp16"}),
        base._replace(constexprs={"BLOCK": 512}),
        base._replace(constexprs={"BLOCK": True}),
        base._replace(constexprs={"BLOCK": 1024.0}),
        base._replace(divisible=frozenset({"x"})),
        base._replace(num_warps=8),
        base._replace(num_stages=5),
        base._replace(enable_fp_fusion=False),
    ]
    keys = [cache_key(k, to) for k in [base, *changed]] + [cache_key(base, target("cuda:80"))]
    override = tmp_path / "ptxas"
    for text in ("", "longer"):
        override.write_text(text)
        monkeypatch.setenv("TRITON_PTXAS_PATH", str(override))
        keys.append(cache_key(base, to))
    monkeypatch.setenv("TRITON_DISABLE_LINE_INFO", "1")
    keys.append(cache_key(base, to))
    assert len(set(keys)) == len(keys)
    assert cache_key(scale(), to) == cache_key(scale(), to)


@needs_triton
def test_progress_counts_every_distinct_kernel() -> None:
    seen: list[tuple[int, int]] = []
    compile_kernels([scale(256), scale(512), scale(256)], "cuda:90", threads=2, progress=lambda *n: seen.append(n))
    assert seen == [(1, 2), (2, 2)]


@needs_triton
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + "@triton.jit\ndef scale(x, B: tl.constexpr):\n    tl.store(x, undefined_name)\n", "undefined_name"),
        (HEAD + "@triton.jit\ndef other(x, B: tl.constexpr):\n    pass\n", "defines no 'scale'"),
        ("def scale(:\n", "SyntaxError"),
    ],
)
def test_text_that_does_not_compile_is_an_error_of_ours(text: str, words: str) -> None:
    kernel = KernelText(text, "scale", {"x": "*fp32", "B": "constexpr"}, {"B": 1})
    with pytest.raises(ExecutorError, match=words):
        compile_kernel(kernel, "cuda:90")


@needs_triton
def test_a_process_that_interprets_cannot_compile_and_says_so() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import triton_texts; from gradc.runtime.compile import compile_kernel\n"
        "compile_kernel(triton_texts.scale(), 'cuda:90')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent)],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ExecutorError: triton cannot compile in a process with TRITON_INTERPRET=1" in run.stderr


@needs_triton
def test_a_warm_build_imports_little(tmp_path: Path) -> None:
    """A program whose binaries are in the cache is built, and its facts are read, without what a compiler needs."""
    code = (
        "import sys, gradc as gc\n"
        "def loss(x, y):\n"
        "    for i in range(16):\n"
        "        x = (x * (1.0 + i) + y).tanh() * gc.sigmoid(x) - x * 0.1\n"
        "    return (x * x).mean()\n"
        "s = gc.spec('f32[100,30]', requires_grad=True)\n"
        "prog = gc.build(loss, s, s, target='cuda:90', name='loss')\n"
        "print([k.binary().registers for k in prog.kernels])\n"
        "heavy = ('triton', 'torch', 'networkx', 'subprocess', 'tempfile', 'concurrent.futures',\n"
        "         'importlib.metadata', 'numpy.random', 'ml_dtypes', 'gradc.runtime.inspect', 'gradc.measures',\n"
        "         'sysconfig', 'difflib', 'gradc.ir.lexer', 'gradc.codegen.numpy_tiles', 'gradc.report')\n"
        "print([name for name in heavy if name in sys.modules])\n"
        "own = [m for name, m in sys.modules.items() if name.startswith('gradc.')]\n"
        "classes = {c for m in own for c in vars(m).values() if isinstance(c, type)}\n"
        "print(sorted(c.__name__ for c in classes if '__dataclass_fields__' in vars(c)))\n"
    )
    environment = os.environ | {"GRADC_CACHE_DIR": str(tmp_path / "c")}
    runs = [
        subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    cold, warm = (run.stdout.splitlines() for run in runs)
    assert warm[0] == cold[0]
    assert "triton" in cold[1]
    assert warm[1] == "[]"
    # A process takes ten times as long to make a dataclass as to make a named tuple, and every record once each.
    assert warm[2] == "['Op', 'Torch']"


@needs_triton
def test_a_warm_build_calls_few_functions(tmp_path: Path) -> None:
    """Counted, because seconds depend on the machine: from tracing to the facts of every kernel."""
    code = (
        "import sys, gradc as gc\n"
        "def loss(x, y):\n"
        "    for i in range(10):\n"
        "        x = (x * (1.0 + i) + y).tanh() * gc.sigmoid(x) - x * x * 0.1\n"
        "    return (x * x).mean()\n"
        "s, calls = gc.spec('f32[100,30]', requires_grad=True), 0\n"
        "def count(frame, event, arg):\n"
        "    global calls\n"
        "    calls += event in ('call', 'c_call')\n"
        "gc.build\n"
        "sys.setprofile(count)\n"
        "prog = gc.build(loss, s, s, target='cuda:90', name='loss')\n"
        "spills = sum([k.binary().spills for k in prog.kernels])\n"
        "sys.setprofile(None)\n"
        "print(calls, len(prog.stages.modules['traced'].main.nodes), 'triton' in sys.modules)\n"
    )
    environment = os.environ | {"GRADC_CACHE_DIR": str(tmp_path / "c")}
    for warm in (False, True):
        run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        calls, ops, triton = run.stdout.split()
        assert triton == str(not warm)
    assert int(ops) >= 80
    assert int(calls) <= 2800 * int(ops)


@needs_triton
@pytest.mark.parametrize("part", ["facts", "target", "parameters"])
def test_a_whole_entry_that_is_no_binary_for_the_kernel_is_made_again(part: str, tmp_path: Path) -> None:
    """Its checksum is right and its content is not: what an older or a foreign program may have written."""
    kernel, store = scale(), Cache(tmp_path / "c")
    first = compile_kernel(kernel, "cuda:90", store=store)
    key = cache_key(kernel, target("cuda:90"))
    parts = first.to_parts()
    facts = json.loads(parts["facts"])
    odd = {"facts": b"[1, 2", "target": b"", "parameters": b""}[part]
    changed = odd or json.dumps({**facts, part: {"target": "cuda:80", "parameters": ["*fp32"]}[part]}).encode()
    store.put(key, {**parts, "facts": changed})
    assert compile_kernel(kernel, "cuda:90", store=store) == first
    stored = store.get(key)
    assert stored is not None
    assert Binary.from_parts(stored) == first
