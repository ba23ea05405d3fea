"""Widths, registers and spills, read from text written here by hand and from binaries that are known to have them."""

from __future__ import annotations

import sys

import pytest
from triton_texts import HEAD, row_sum, scale

from gradc.ir.errors import ExecutorError
from gradc.runtime import inspect
from gradc.runtime.compile import compile_kernel
from gradc.runtime.launch import KernelText

needs_triton = pytest.mark.skipif(sys.platform != "linux", reason="triton exists for Linux only")


@pytest.mark.parametrize(
    ("line", "loads", "stores"),
    [
        ("@%p1 ld.global.v4.b32 { %r1, %r2, %r3, %r4 }, [ %rd1 + 0 ];", {128: 1}, {}),
        ("ld.global.L1::evict_last.L2::cache_hint.v2.b32 {%r1, %r2}, [%rd1], %rd2;", {64: 1}, {}),
        ("ld.global.v8.b32 {%r1}, [%rd1];", {256: 1}, {}),
        ("ld.global.nc.b16 %rs1, [%rd1];", {16: 1}, {}),
        ("ld.volatile.global.u8 %rs1, [%rd1];", {8: 1}, {}),
        ("ld.shared.v4.b32 {%r1}, [%r2];", {}, {}),
        ("ld.param.b64 %rd1, [k_param_0];", {}, {}),
        ("st.global.v2.b64 [%rd1], {%rd2, %rd3};", {}, {128: 1}),
        ("@%p3 st.global.b8 [ %rd1 + 0 ], { %rs1 };", {}, {8: 1}),
        ("atom.global.gpu.acq_rel.add.f32 %f1, [%rd1], %f2;", {}, {32: 1}),
        ("red.relaxed.gpu.global.add.u64 [%rd1], %rd2;", {}, {64: 1}),
        ("cp.async.cg.shared.global [ %r1 + 0 ], [ %rd1 + 0 ], 0x10, %r2;", {128: 1}, {}),
        ("cp.async.ca.shared.global [ %r1 + 0 ], [ %rd1 + 0 ], 0x4, %r2;", {32: 1}, {}),
    ],
)
def test_ptx(line: str, loads: dict[int, int], stores: dict[int, int]) -> None:
    assert inspect.ptx_accesses(f"\t{line}\n") == (loads, stores)


@pytest.mark.parametrize(
    ("line", "loads", "stores"),
    [
        ("LDG.E.128.CONSTANT R4, desc[UR4][R2.64] ;", {128: 1}, {}),
        ("@!P0 LDG.E.U16 R4, desc[UR4][R2.64] ;", {16: 1}, {}),
        ("LDG.E R4, desc[UR4][R2.64] ;", {32: 1}, {}),
        ("LDGSTS.E.BYPASS.128 [R1], desc[UR4][R2.64] ;", {128: 1}, {}),
        ("STG.E.64 desc[UR4][R2.64], R4 ;", {}, {64: 1}),
        ("STL [R1], R4 ;", {}, {}),
        ("LDS.128 R4, [R5] ;", {}, {}),
        ("RED.E.ADD.F32.FTZ.RN.STRONG.GPU [R2.64], R5 ;", {}, {32: 1}),
    ],
)
def test_sass(line: str, loads: dict[int, int], stores: dict[int, int]) -> None:
    assert inspect.sass_accesses(f"        /*0010*/ {line}\n") == (loads, stores)


@pytest.mark.parametrize(
    ("line", "loads", "stores"),
    [
        ("global_load_dwordx4 v[0:3], v[0:1], off", {128: 1}, {}),
        ("buffer_load_dwordx2 v[0:1], v2, s[4:7], 0 offen", {64: 1}, {}),
        ("global_load_dwordx3 v[0:2], v[0:1], off", {96: 1}, {}),
        ("global_load_dword v0, v[0:1], off", {32: 1}, {}),
        ("global_load_ushort v0, v[0:1], off", {16: 1}, {}),
        ("global_load_short_d16_hi v0, v[0:1], off", {16: 1}, {}),
        ("global_load_ubyte_d16 v0, v[0:1], off", {8: 1}, {}),
        ("global_load_b128 v[0:3], v[0:1], off", {128: 1}, {}),
        ("global_load_d16_hi_b16 v0, v[0:1], off", {16: 1}, {}),
        ("global_load_u16 v0, v[0:1], off", {16: 1}, {}),
        ("global_load_i8 v0, v[0:1], off", {8: 1}, {}),
        ("global_load_b32 v0, v[0:1], off", {32: 1}, {}),
        ("scratch_load_dwordx4 v[0:3], off, s33", {}, {}),
        ("ds_read_b128 v[0:3], v4", {}, {}),
        ("buffer_store_short v0, v1, s[4:7], 0 offen", {}, {16: 1}),
        ("global_store_b64 v0, v[1:2], off", {}, {64: 1}),
        ("global_atomic_add_f32 v0, v1, s[0:1]", {}, {32: 1}),
        ("global_atomic_add_x2 v0, v[1:2], s[0:1]", {}, {64: 1}),
        ("global_atomic_add_f64 v0, v[1:2], s[0:1]", {}, {64: 1}),
        ("global_atomic_pk_add_bf16 v0, v1, s[0:1]", {}, {32: 1}),
    ],
)
def test_amdgcn(line: str, loads: dict[int, int], stores: dict[int, int]) -> None:
    assert inspect.amdgcn_accesses(f"\t{line}\n") == (loads, stores)


@needs_triton
@pytest.mark.parametrize("target", ["cuda:80", "cuda:90"])
def test_ptx_and_sass_agree(target: str) -> None:
    for kernel in (scale(), scale(aligned=False), scale(dtype="bf16"), scale(dtype="fp16"), row_sum(1000, 1024)):
        binary = compile_kernel(kernel, target)
        assert binary.sass is not None
        assert inspect.sass_accesses(binary.sass) == (binary.facts.loads, binary.facts.stores)


SPILLING = (
    HEAD
    + """@triton.jit
def spilling(x, y, B: tl.constexpr):
    i = tl.arange(0, B)
    v = tl.load(x + i)
    total = tl.sum(v, axis=0)
    v = v - total
    total = tl.sum(v * v, axis=0)
    tl.store(y + i, v / total)
"""
)


@needs_triton
@pytest.mark.parametrize(("target", "too_long"), [("cuda:90", 16384), ("hip:gfx942", 32768)])
def test_spills_are_seen(target: str, too_long: int) -> None:
    """512 floats of a row per lane cannot stay in registers; 8 do."""
    signature = {"x": "*fp32", "y": "*fp32", "B": "constexpr"}
    for block, warps, spills in ((too_long, 1, True), (4096, 16, False)):
        kernel = KernelText(SPILLING, "spilling", signature, {"B": block}, frozenset("xy"), num_warps=warps)
        assert (compile_kernel(kernel, target).spills > 0) is spills


@needs_triton
def test_what_is_no_binary_is_refused() -> None:
    with pytest.raises(ExecutorError, match="nvdisasm cannot read the binary"):
        inspect.sass(b"not a cubin")
    with pytest.raises(ExecutorError, match="cuobjdump"):
        inspect.cuda_facts("", b"not a cubin")
    with pytest.raises(ExecutorError, match="names no registers"):
        inspect.hip_facts("s_endpgm")
