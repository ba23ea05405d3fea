"""Printed Triton: what it computes under the interpreter, what it compiles to, and how it reads."""

from __future__ import annotations

from collections.abc import Iterator

import kernel_run
import numpy as np
import pytest
import tile_kernels
from tile_kernels import CASES, Kernel

from gradc.codegen.triton import triton_source
from gradc.ir.errors import UnsupportedError
from gradc.ir.graph import Loc
from gradc.ir.tile import Group, persistent, resident, spread
from gradc.ir.types import BufferType, bf16, f32, i64
from gradc.runtime.compile import compile_kernels
from gradc.runtime.worker import Worker

pytest.importorskip("triton", reason="printed Triton needs triton to run")
TARGETS = ("cuda:80", "cuda:90", "cuda:100", "hip:gfx942")


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    w = Worker()
    yield w
    w.close()


@pytest.mark.parametrize("name", CASES)
def test_the_text_computes_what_the_kernel_means(name: str, worker: Worker, rng: np.random.Generator) -> None:
    kernel = CASES[name]()
    data = kernel_run.inputs(kernel, rng)
    kernel_run.check_close(kernel, kernel_run.interpreted(worker, kernel, data), kernel_run.meaning(kernel, data))


@pytest.mark.parametrize("target", TARGETS)
def test_one_kernel_of_every_structure_compiles(target: str) -> None:
    first = {name.split("[")[0]: name for name in reversed(CASES)}
    texts = [kernel_run.kernel_text(CASES[name]()) for name in first.values()]
    for text, binary in zip(texts, compile_kernels(texts, target), strict=True):
        assert binary.code, text.name
        assert binary.spills == 0, text.name


def test_a_softmax_reads_like_one_written_by_hand() -> None:
    text = triton_source(CASES["row_softmax[6,7]"]()).text
    assert text.endswith("""
@triton.jit
def softmax(x_ptr, out_ptr):
    # x: 6 in 3 programs, tiles of 2; r: 7 in tiles of 8
    xpid = tl.program_id(0)
    xindex = xpid * 2 + tl.arange(0, 2)
    rindex = tl.arange(0, 8)
    offsets = xindex[:, None] * 7 + rindex[None, :]
    rmask = rindex < 7
    # model.py:7
    x = tl.load(x_ptr + offsets, mask=rmask[None, :], other=float("-inf"))
    top = tl.reduce(x, 1, nan_max)
    e = tl.exp(x - top[:, None])
    # model.py:8
    total = tl.sum(tl.where(rmask[None, :], e, 0.0), 1)
    tl.store(out_ptr + offsets, e / total[:, None], mask=rmask[None, :])
""")


def test_carries_and_loops_read_like_ones_written_by_hand() -> None:
    text = triton_source(CASES["mixed[48,32,4,4,True]"]()).text
    assert text.endswith("""
@triton.jit
def norm_backward(x_ptr, dy_ptr, w_ptr, dx_ptr, dw_ptr, loss_ptr):
    # x: 48 in 4 programs, 3 steps, tiles of 4; r: 32 in tiles of 32
    rindex = tl.arange(0, 32)
    xpid = tl.program_id(0)
    w = tl.load(w_ptr + rindex)
    total_acc = tl.full((4, 32), 0.0, tl.float32)
    total_acc_1 = tl.full((4,), 0.0, tl.float32)
    for xtile in tl.range(xpid, 12, 4):
        xindex = xtile * 4 + tl.arange(0, 4)
        offsets = xindex[:, None] * 32 + rindex[None, :]
        x = tl.load(x_ptr + offsets)
        dy = tl.load(dy_ptr + offsets)
        total = tl.sum(x * x, 1)
        scale = tl.rsqrt(total * 0.03125 + 1e-05)
        t = x * scale[:, None]
        t_1 = dy * w[None, :]
        total_1 = tl.sum(t_1 * t, 1)
        tl.store(dx_ptr + offsets, (t_1 - t * (total_1 * 0.03125)[:, None]) * scale[:, None])
        total_acc += dy * t
        total_acc_1 += tl.sum(t * t, 1)
    total_2 = tl.sum(total_acc, 0)
    total_3 = tl.sum(total_acc_1, 0)
    tl.store(dw_ptr + xpid * 32 + rindex, total_2)
    tl.store(loss_ptr + xpid, total_3)
""")


def test_programs_of_a_product_go_down_bands_of_rows() -> None:
    text = triton_source(CASES["contract[170,40,8]"]()).text
    for line in (
        "tile = tl.program_id(0)\n",
        "first = tile // 24 * 8\n",
        "high = tl.minimum(11 - first, 8)\n",
        "mpid = first + tile % 24 % high\n",
        "npid = tile % 24 // high\n",
    ):
        assert line in text
    assert "+ -" not in text


def test_exact_groups_have_no_masks() -> None:
    assert "mask" not in triton_source(CASES["map_flat[512]"]()).text
    assert "mask" not in triton_source(CASES["contract[32,32,64]"]()).text


def test_the_text_is_the_same_every_time() -> None:
    for name in ("mixed[50,24,4,1,True]", "contract[33,17,50]", "row_with_loss[37,20]"):
        assert triton_source(CASES[name]()) == triton_source(CASES[name]())


def test_names_and_files_of_the_user_cannot_reach_the_text_as_code() -> None:
    k = Kernel("import os; os.system('x')", spread("x", (8,), 8))
    x, out = k.read("x\n    evil()", 8), k.write("lambda", 8)
    k.b.loc = Loc("a.py\n    evil()", 3)
    v = k.name(k.load(x, ((1,),)) * 2.0, 'für # """')
    k.store(v + 1.0, out, ((1,),))
    source = triton_source(k.graph)
    assert source.name == "import_os_os_system_x"
    assert "    evil()\n" not in source.text.replace("# a.py?    evil():3", "")
    assert "lambda_ptr" in source.text
    assert "f_r = " in source.text
    compile(source.text, "text", "exec")


def test_a_kernel_may_be_called_like_a_helper(worker: Worker) -> None:
    k = Kernel("product", resident("r", (5,)))
    k.store(k.b.reduce(k.load(k.read("nan_max", 5), ((1,),)), monoid="prod", over="r"), k.write("out", 1), ((0,),))
    data = kernel_run.inputs(k.graph, np.random.default_rng(1))
    assert triton_source(k.graph).name == "product_kernel"
    kernel_run.check_close(k.graph, kernel_run.interpreted(worker, k.graph, data), kernel_run.meaning(k.graph, data))


def test_nan_survives_every_extreme(worker: Worker) -> None:
    for name in ("monoids_float[max]", "monoids_float[min]", "monoids_typed[max,f64]", "row_softmax[6,7]"):
        kernel = CASES[name]()
        data = kernel_run.inputs(kernel, np.random.default_rng(3))
        data[0][5] = np.nan
        data[0][11] = np.inf
        want = kernel_run.meaning(kernel, data)
        assert any(np.isnan(w).any() for w in want[1:])
        kernel_run.check_close(kernel, kernel_run.interpreted(worker, kernel, data), want)


def test_only_large_buffers_have_64_bit_offsets() -> None:
    def copy(n: int) -> str:
        k = Kernel("copy", spread("x", (4, n), 1024))
        x, out = k.read("x", 4 * n), k.write("out", 4 * n)
        k.store(k.load(x, ((1, 4),)), out, ((n, 1),))
        return triton_source(k.graph).text

    assert "int64" not in copy(2**28)
    assert "tl.cast(xpid, tl.int64) * 1024" in copy(2**29)
    k = Kernel("rows", spread("x", (2**20,), 1), resident("r", (4096,)))
    x, out = k.read("x", 2**32), k.write("out", 2**20)
    k.store(k.b.reduce(k.load(x, ((4096,), (1,))), monoid="sum", over="r"), out, ((1,), (0,)))
    text = triton_source(k.graph).text
    assert "x_ptr + tl.cast(xpid, tl.int64) * 4096 + tl.cast(rindex, tl.int64)" in text
    assert "tl.store(out_ptr + xpid, total)" in text


def test_alignment_hints_follow_the_buffers() -> None:
    k = Kernel("copy", spread("x", (8,), 8))
    x, out = k.read("x", 8), k.write("out", 8)
    k.graph.types[x.v] = BufferType(8, f32, align=4)
    k.store(k.load(x, ((1,),)), out, ((1,),))
    source = triton_source(k.graph)
    assert source.divisible == {"out_ptr"}
    assert source.attrs == {(1,): [["tt.divisibility", 16]]}
    assert source.options == {"num_warps": 1, "num_stages": 1, "enable_fp_fusion": True}


def test_dead_code_is_not_printed() -> None:
    k = Kernel("copy", spread("x", (8,), 8))
    x, unused, out = k.read("x", 8), k.read("unused", 8), k.write("out", 8)
    k.b.exp(k.load(unused, ((1,),)))
    k.store(k.load(x, ((1,),)), out, ((1,),))
    text = triton_source(k.graph).text
    assert "exp" not in text
    assert text.count("tl.load") == 1


def test_what_cannot_be_printed_is_refused_by_name() -> None:
    k = Kernel("two_loops", persistent("x", (64,), 8, 2), persistent("r", (64,), 8, 1))
    x, out = k.read("x", 64 * 64), k.write("out", 64)
    k.store(k.b.reduce(k.load(x, ((64,), (1,))), monoid="sum", over="r"), out, ((1,), (0,)))
    with pytest.raises(UnsupportedError, match=r"two_loops: cannot print tile.reduce over loop r inside loops rx"):
        triton_source(k.graph)
    k = Kernel("half", spread("x", (8,), 8))
    h = k.load(k.read("x", 8, bf16), ((1,),))
    k.b.loc = Loc("loss.py", 4)
    k.store(h * h, k.write("out", 8, bf16), ((1,),))
    with pytest.raises(UnsupportedError, match=r"half: cannot print tile.mul on bf16.*\n  at loss.py:4"):
        triton_source(k.graph)
    k = Kernel("race", spread("x", (64,), 8))
    v = k.load(k.read("x", 64), ((1,),))
    k.store(v, k.write("out", 1), ((0,),))
    with pytest.raises(UnsupportedError, match=r"race: cannot print tile.store of a value over x at an address over _"):
        triton_source(k.graph)


def test_programs_of_every_group_are_told_apart() -> None:
    k = Kernel("grid", Group("x", (3,), 3, 1, 1), Group("y", (4,), 4, 1, 1), Group("z", (5,), 5, 1, 1))
    out = k.write("out", 60, i64)
    i = [k.b.index(group=g, dim=0, dtype=i64) for g in "xyz"]
    k.store(i[0] * 100 + i[1] * 10 + i[2], out, ((20,), (5,), (1,)))
    source = triton_source(k.graph)
    assert source.grid == (60, 1, 1)
    for line in ("xpid = pid // 20\n", "ypid = pid // 5 % 4\n", "zpid = pid % 5\n"):
        assert line in source.text
    w = Worker()
    got = np.zeros(60, np.int64)
    w.launch(kernel_run.kernel_text(k.graph), source.grid, got)
    w.close()
    assert np.array_equal(got.reshape(3, 4, 5), np.add.outer(np.add.outer([0, 100, 200], [0, 10, 20, 30]), range(5)))


def test_every_case_is_a_different_kernel() -> None:
    texts = {triton_source(build()).text for build in tile_kernels.CASES.values()}
    assert len(texts) > 0.9 * len(CASES)
