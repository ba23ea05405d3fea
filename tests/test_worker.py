"""The interpreting worker: values, every element type, overlap, guard zones, and all the ways in which it can fail."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from triton_texts import HEAD, ROW_SUM, SCALE, row_sum, scale

from gradc.ir.errors import ExecutorError
from gradc.runtime.launch import KernelText, Launch, Pointer
from gradc.runtime.worker import Worker, shared_worker

pytestmark = [
    pytest.mark.wheel,
    pytest.mark.skipif(sys.platform != "linux", reason="triton exists for Linux only"),
]


@pytest.fixture(scope="module")
def worker() -> Worker:
    return shared_worker()


def kernel(body: str, signature: dict[str, str], **constexprs: int) -> KernelText:
    names = ", ".join(name + (": tl.constexpr" if kind == "constexpr" else "") for name, kind in signature.items())
    return KernelText(f"{HEAD}@triton.jit\ndef k({names}):\n    {body}\n", "k", signature, constexprs)


@pytest.mark.parametrize("n", [1, 127, 128, 129, 1000])
def test_values(worker: Worker, rng: np.random.Generator, n: int) -> None:
    x = rng.standard_normal(n).astype(np.float32)
    y = np.full(n, np.nan, np.float32)
    worker.launch(scale(128), (-(-n // 128),), x, y, n, 2.5)
    np.testing.assert_array_equal(y, x * np.float32(2.5))


def test_reductions_and_several_launches_in_one_run(worker: Worker, rng: np.random.Generator) -> None:
    x = rng.standard_normal((7, 100)).astype(np.float32)
    doubled, total = np.full_like(x, np.nan), np.full(7, np.nan, np.float32)
    worker.run(
        [x, doubled, total],
        [
            Launch(scale(256), (3,), [Pointer(0), Pointer(1), 700, 2.0]),
            Launch(row_sum(100, 128), (7,), [Pointer(1), Pointer(2)]),
        ],
    )
    np.testing.assert_array_equal(doubled, x * 2)
    np.testing.assert_allclose(total, (x * 2).sum(1), rtol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        (np.float64, "fp64"),
        (np.float32, "fp32"),
        (np.float16, "fp16"),
        (ml_dtypes.bfloat16, "bf16"),
        (np.int64, "i64"),
        (np.int32, "i32"),
        (np.int16, "i16"),
        (np.int8, "i8"),
        (np.uint8, "u8"),
        (np.uint32, "u32"),
        (np.uint64, "u64"),
        (np.bool_, "i1"),
    ],
)
def test_every_element_type_copies(worker: Worker, dtype: type, name: str) -> None:
    copy = kernel(
        "i = tl.arange(0, B); tl.store(y + i, tl.load(x + i))",
        {"x": f"*{name}", "y": f"*{name}", "B": "constexpr"},
        B=16,
    )
    x = (np.arange(16) * 7 % 3).astype(dtype)
    y = np.zeros(16, dtype)
    worker.launch(copy, (1,), x, y)
    assert y.tobytes() == x.tobytes()


def test_bfloat16_is_computed_in_float32_and_rounds_to_nearest_even(worker: Worker, rng: np.random.Generator) -> None:
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.00390625, 1.01171875, 3.4e38, 1e-40]
    x = np.array(special + list(rng.standard_normal(119)), np.float32)
    y = np.zeros(128, ml_dtypes.bfloat16)
    narrow = kernel(
        "i = tl.arange(0, B); tl.store(y + i, tl.load(x + i).to(tl.bfloat16))",
        {"x": "*fp32", "y": "*bf16", "B": "constexpr"},
        B=128,
    )
    worker.launch(narrow, (1,), x, y)
    np.testing.assert_array_equal(y.astype(np.float32), x.astype(ml_dtypes.bfloat16).astype(np.float32))
    back = np.zeros(128, np.float32)
    worker.launch(
        KernelText(
            SCALE,
            "scale",
            {"x": "*bf16", "y": "*fp32", "n": "i32", "alpha": "fp32", "BLOCK": "constexpr"},
            {"BLOCK": 128},
        ),
        (1,),
        y,
        back,
        128,
        0.5,
    )
    np.testing.assert_array_equal(back, y.astype(np.float32) * 0.5)


def test_scalars_have_their_declared_type(worker: Worker) -> None:
    """i64 products pass 2^31, i32 products wrap, and a float scalar is a float32 that can be converted."""
    out = np.zeros(3, np.float64)
    text = "tl.store(o, n * m); tl.store(o + 1, k * k); tl.store(o + 2, a.to(tl.float64))"
    signature = {"o": "*fp64", "n": "i64", "m": "i64", "k": "i32", "a": "fp32"}
    worker.launch(kernel(text, signature), (1,), out, 65536, 65537, 65536, 0.1)
    assert out.tolist() == [65536.0 * 65537, 0.0, float(np.float32(0.1))]


def test_run_time_loops(worker: Worker) -> None:
    """Needs the repair of triton 3.6 with NumPy 2.4."""
    text = "total = 0.0\n    for j in range(0, n, 2):\n        total += tl.load(x + j)\n    tl.store(o, total)"
    x, out = np.arange(9, dtype=np.float32), np.zeros(1, np.float32)
    worker.launch(kernel(text, {"x": "*fp32", "o": "*fp32", "n": "i32"}), (1,), x, out, 9)
    assert out[0] == 20


def test_grids_of_three_axes(worker: Worker) -> None:
    out = np.zeros((2, 3, 4), np.int32)
    text = "p = (tl.program_id(0) * 3 + tl.program_id(1)) * 4 + tl.program_id(2); tl.store(o + p, p)"
    worker.launch(kernel(text, {"o": "*i32"}), (2, 3, 4), out)
    np.testing.assert_array_equal(out.reshape(-1), np.arange(24))


def test_overlapping_arrays_overlap_for_the_kernel(worker: Worker) -> None:
    arena = np.arange(64, dtype=np.float32)
    worker.launch(scale(16), (1,), arena, arena[32:48], 16, 3.0)
    np.testing.assert_array_equal(arena[32:48], np.arange(16) * 3)
    worker.launch(scale(16), (1,), arena, arena, 16, -1.0)
    np.testing.assert_array_equal(arena[:16], -np.arange(16))
    with pytest.raises(ExecutorError, match="overlap without one of them holding the others"):
        worker.launch(scale(16), (1,), arena[:20], arena[10:30], 16, 1.0)


def test_arena_offsets(worker: Worker) -> None:
    arena = np.zeros(4096, np.uint8)
    x = np.arange(8, dtype=np.float32)
    worker.run([x, arena], [Launch(scale(8), (1,), [Pointer(0), Pointer(1, 256), 8, 2.0])])
    np.testing.assert_array_equal(arena[256:288].view(np.float32), x * 2)
    assert not arena[:256].any()
    assert not arena[288:].any()


def test_empty_zero_dimensional_and_large_buffers(worker: Worker) -> None:
    worker.launch(scale(8), (1,), np.zeros((0, 3), np.float32), np.zeros(0, np.float32), 0, 1.0)
    zero = np.array(2.0, np.float32)
    worker.launch(scale(1), (1,), zero, zero, 1, 4.0)
    assert zero == 8
    big = np.ones(1 << 20, np.float32)
    worker.launch(scale(1 << 20), (1,), big, big, 1 << 20, 2.0)
    assert (big == 2).all()


def test_addresses_keep_their_alignment(worker: Worker) -> None:
    base = np.zeros(1024, np.uint8)
    start = -base.ctypes.data % 256 + 4
    out = np.zeros(1, np.int64)
    text = "tl.store(o, x.to(tl.int64, bitcast=True) % 256)"
    worker.launch(kernel(text, {"x": "*fp32", "o": "*i64"}), (1,), base[start : start + 8].view(np.float32), out)
    assert out[0] == 4


@pytest.mark.parametrize("at", [-1, 16])
def test_writing_outside_is_seen(worker: Worker, at: int) -> None:
    out = np.zeros(16, np.float32)
    with pytest.raises(ExecutorError, match=r"wrote outside its buffers: .*4 bytes in all \(k\)"):
        worker.launch(kernel(f"tl.store(o + {at}, 1.0)", {"o": "*fp32"}), (1,), out)
    assert not out.any()


def test_reading_outside_gives_nan(worker: Worker) -> None:
    x, out = np.zeros(4, np.float32), np.zeros(1, np.float32)
    worker.launch(kernel("tl.store(o, tl.load(x + 4))", {"x": "*fp32", "o": "*fp32"}), (1,), x, out)
    assert np.isnan(out[0])


def test_an_error_in_a_kernel_names_the_launch_and_the_line(worker: Worker) -> None:
    out = np.zeros(4, np.float32)
    bad = kernel("tl.store(o + tl.arange(0, 4), tl.zeros((8,), tl.float32))", {"o": "*fp32"})
    good = scale(4)
    with pytest.raises(ExecutorError, match=r"launch 1, kernel 'k': .*\n.*line 7: tl.store"):
        worker.run([out], [Launch(good, (1,), [Pointer(0), Pointer(0), 4, 1.0]), Launch(bad, (1,), [Pointer(0)])])
    with pytest.raises(ExecutorError, match="defines no 'nothing'"):
        worker.launch(KernelText(ROW_SUM, "nothing", {"x": "*fp32"}), (1,), out)
    with pytest.raises(ExecutorError, match="SyntaxError"):
        worker.launch(KernelText("def (", "f", {"x": "*fp32"}), (1,), out)


def test_a_crash_is_an_error_and_the_next_run_has_a_new_child(worker: Worker) -> None:
    out = np.zeros(4, np.float32)
    wild = kernel("tl.store(o + (1 << 40), 1.0)", {"o": "*fp32"})
    with pytest.raises(ExecutorError, match=r"process died \(killed by signal 11\)"):
        worker.launch(wild, (1,), out)
    worker.launch(scale(4), (1,), np.ones(4, np.float32), out, 4, 3.0)
    assert (out == 3).all()


def test_a_kernel_that_never_ends_is_ended() -> None:
    worker = Worker(timeout=5.0)
    out = np.zeros(1, np.int32)
    worker.launch(kernel("tl.store(o, 1)", {"o": "*i32"}), (1,), out)
    worker.timeout = 0.5
    endless = kernel("for j in range(0, 1 << 30):\n        tl.store(o, j)", {"o": "*i32"})
    with pytest.raises(ExecutorError, match="gave no answer within"):
        worker.launch(endless, (1,), out)
    worker.timeout = 60.0
    worker.launch(kernel("tl.store(o, 5)", {"o": "*i32"}), (1,), out)
    assert out[0] == 5
    worker.close()


def test_an_interrupt_leaves_no_reply_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker()
    out = np.zeros(1, np.int32)
    one, two = (kernel(f"tl.store(o, {number})", {"o": "*i32"}) for number in (1, 2))
    worker.launch(one, (1,), out)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("gradc.runtime.worker.select.select", interrupt)
        with pytest.raises(KeyboardInterrupt):
            worker.launch(one, (1,), out)
    worker.launch(two, (1,), out)
    assert out[0] == 2
    worker.close()


def test_a_child_without_triton_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "triton.py").write_text("raise ImportError('there is no triton here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(ExecutorError, match=r"process died \(exit code 1\): (.|\n)*there is no triton here"):
        Worker().launch(scale(4), (1,), np.zeros(4, np.float32), np.zeros(4, np.float32), 4, 1.0)


def test_threads_take_turns(worker: Worker) -> None:
    def work(number: int) -> float:
        out = np.zeros(64, np.float32)
        worker.launch(scale(64), (1,), np.ones(64, np.float32), out, 64, float(number))
        return float(out.sum())

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(20))) == [64.0 * number for number in range(20)]


def test_arguments_that_do_not_fit_are_refused(worker: Worker) -> None:
    x = np.zeros(4, np.float32)
    with pytest.raises(ExecutorError, match="takes 4 arguments, got 2"):
        worker.launch(scale(4), (1,), x, x)
    with pytest.raises(ExecutorError, match="'n' is declared i32, got Pointer"):
        worker.launch(scale(4), (1,), x, x, x, 1.0)
    with pytest.raises(ExecutorError, match=r"'y' is declared \*fp32, got 3"):
        worker.launch(scale(4), (1,), x, 3, 4, 1.0)
    with pytest.raises(ExecutorError, match="points outside buffer 0"):
        worker.run([x], [Launch(scale(4), (1,), [Pointer(0, 17), Pointer(0), 4, 1.0])])
    with pytest.raises(ExecutorError, match="contiguous"):
        worker.launch(scale(4), (1,), np.zeros(8, np.float32)[::2], x, 4, 1.0)


def test_it_prints_and_warns_without_harm(worker: Worker) -> None:
    out = np.zeros(1, np.float32)
    text = "tl.device_print('value', tl.load(o)); tl.store(o, tl.exp(tl.load(o) + 1000.0))"
    worker.launch(kernel(text, {"o": "*fp32"}), (1,), out)
    assert np.isinf(out[0])


BODY = """
import sys; sys.path.insert(0, {tests!r})
import numpy as np, triton, triton_texts
from gradc.runtime.compile import compile_kernel
from gradc.runtime.worker import shared_worker
x, y = np.arange(8, dtype=np.float32), np.zeros(8, np.float32)
for _ in range(2):
    shared_worker().launch(triton_texts.scale(8), (1,), x, y, 8, 2.0)
    assert compile_kernel(triton_texts.scale(8), "cuda:90").registers
print(y.sum(), "torch" in sys.modules)
"""


@pytest.mark.parametrize("how", ["-c", "-"])
def test_it_works_beside_a_compiling_triton_and_without_a_main_file(how: str, tmp_path: Path) -> None:
    body = BODY.format(tests=str(Path(__file__).parent))
    command = [sys.executable, "-c", body] if how == "-c" else [sys.executable, "-"]
    feed = None if how == "-c" else body
    run = subprocess.run(command, input=feed, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=120)
    assert run.stdout.split() == ["56.0", "False"], run.stderr


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    body = BODY.format(tests=str(Path(__file__).parent))
    body += "import os, signal\nprint(shared_worker()._process.pid, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    run = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, check=False, timeout=120)
    child = int(run.stdout.split()[-1])
    for _ in range(100):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            break
        state = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "Z":
            break
        time.sleep(0.05)
    else:
        raise AssertionError("the child outlived its parent")
