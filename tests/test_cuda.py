"""The cuda executor's machinery against a fake driver; test_cuda_device.py is for a real one."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
from fake_cuda import FakeCuda, at, binary

from gradc.ir.errors import ExecutorError
from gradc.runtime import cuda_driver
from gradc.runtime.cuda import Device, Stream, device
from gradc.runtime.cuda_launch import ArgumentBlock, CudaProgram, DeviceBuffers, device_address, run_on_arrays
from gradc.runtime.launch import KernelText, Launch, Pointer

KINDS = ("*fp32", "i32", "fp32", "i64", "fp64", "i1", "i8", "u32", "u64", "*bf16")


def text(name: str, parameters: tuple[str, ...]) -> KernelText:
    return KernelText("", name, {f"a{i}": kind for i, kind in enumerate(parameters)})


@pytest.fixture
def fake() -> FakeCuda:
    cuda = FakeCuda()

    def add(x: int, y: int, n: int, alpha: float, grid: tuple[int, ...]) -> None:
        at(y, n)[:] += alpha * at(x, n)

    cuda.kernels["add"] = (("*fp32", "*fp32", "i32", "fp32"), add)
    return cuda


ADD = ("*fp32", "*fp32", "i32", "fp32")


def program(cuda: FakeCuda, *launches: Launch) -> CudaProgram:
    made = {launch.kernel.name: binary(launch.kernel.name, ADD) for launch in launches}
    return CudaProgram(cuda.device(), launches, [made[launch.kernel.name] for launch in launches])


def add_launch(x: Any, y: Any, n: int = 4, alpha: float = 1.0, grid: tuple[int, ...] = (1,)) -> Launch:
    return Launch(text("add", ADD), grid, [x, y, n, alpha])


def test_every_kind_of_argument_is_packed_in_its_own_width() -> None:
    cuda, seen = FakeCuda(), []
    cuda.kernels["k"] = (KINDS, lambda *arguments: seen.append(arguments))
    values = [Pointer(0, 256), -5, 0.1, -(2**40), 0.1, True, -128, 2**32 - 1, 2**64 - 1, Pointer(1)]
    run = CudaProgram(cuda.device(), [Launch(text("k", KINDS), (3, 2), values)], [binary("k", KINDS)])
    run.run([2**40, 2**47 + 8], Stream(run.device, 0))
    expected = (2**40 + 256, -5, float(np.float32(0.1)), -(2**40), 0.1, 1, -128, 2**32 - 1, 2**64 - 1, 2**47 + 8)
    assert seen == [(*expected, (3, 2, 1))]
    assert cuda.threads == [128]


@pytest.mark.parametrize(
    ("kind", "value"), [("i32", 2**31), ("i32", 2.5), ("u32", -1), ("i8", 128), ("i64", 2**63), ("u64", -1)]
)
def test_a_number_that_does_not_fit_is_refused(kind: str, value: float) -> None:
    with pytest.raises(ExecutorError, match=f"does not fit parameter 0, which is {kind}"):
        ArgumentBlock("k", [kind]).set(0, value)


def test_wrong_arguments_are_refused(fake: FakeCuda) -> None:
    with pytest.raises(ExecutorError, match="is fp16, which cannot be passed by value"):
        ArgumentBlock("k", ["fp16"])
    with pytest.raises(ExecutorError, match="takes 4 arguments, got 1"):
        program(fake, Launch(text("add", ADD), (1,), [Pointer(0)]))
    with pytest.raises(ExecutorError, match=r"argument 0 is declared \*fp32, got 1"):
        program(fake, add_launch(1, Pointer(0)))
    with pytest.raises(ExecutorError, match="argument 2 is declared i32, got Pointer"):
        program(fake, add_launch(Pointer(0), Pointer(0), n=Pointer(0)))  # type: ignore[arg-type]


@pytest.mark.parametrize("grid", [(2**31,), (1, 65536), (1, 1, 65536), (-1,), (1, 1, 1, 1)])
def test_a_grid_beyond_the_limits_is_refused(fake: FakeCuda, grid: tuple[int, ...]) -> None:
    with pytest.raises(ExecutorError, match="cannot be launched"):
        program(fake, add_launch(Pointer(0), Pointer(1), grid=grid))


def test_arrays_go_there_and_back(fake: FakeCuda) -> None:
    x, y = np.arange(4, dtype=np.float32), np.ones(4, np.float32)
    run = program(fake, add_launch(Pointer(0), Pointer(1), alpha=2.0), add_launch(Pointer(1), Pointer(0)))
    run_on_arrays(run, [x, y])
    np.testing.assert_array_equal(y, [1, 3, 5, 7])
    np.testing.assert_array_equal(x, [1, 4, 7, 10])
    assert fake.context == []
    del run
    gc.collect()
    assert fake.memory == {}
    for made, released in (("ModuleLoadData", "ModuleUnload"), ("StreamCreate", "StreamDestroy_v2")):
        assert fake.count("cu" + made) == fake.count("cu" + released)


def test_the_second_run_on_the_same_addresses_is_a_graph(fake: FakeCuda) -> None:
    run = program(fake, add_launch(Pointer(0), Pointer(1)), add_launch(Pointer(0), Pointer(1)))
    memory = [run.device.allocate(16) for _ in range(3)]
    stream = run.device.stream()
    for place in memory:
        place.upload(np.ones(4, np.float32), stream)
    addresses = [place.address for place in memory]
    for number in range(1, 5):
        run.run(addresses[:2], stream)
        np.testing.assert_array_equal(at(addresses[1], 4), 1 + 2.0 * number)
    assert fake.count("cuLaunchKernel") == 4
    assert fake.count("cuGraphLaunch") == 3
    run.run([addresses[0], addresses[2]], stream)
    np.testing.assert_array_equal(at(addresses[2], 4), 3.0)
    assert fake.count("cuGraphExecDestroy") == 1
    run.run([addresses[0], addresses[2]], stream)
    np.testing.assert_array_equal(at(addresses[2], 4), 5.0)
    assert fake.count("cuGraphInstantiateWithFlags") == fake.count("cuGraphDestroy") == 2


def test_kept_buffers_copy_what_is_named_and_replay(fake: FakeCuda) -> None:
    run = program(fake, add_launch(Pointer(0), Pointer(1), alpha=2.0), add_launch(Pointer(1), Pointer(0, 16)))
    held = DeviceBuffers(run, [32, 16])
    held.fill({1: np.ones(4, np.float32)})
    for number in range(4):
        x, y, out = np.zeros(8, np.float32), np.full(4, number, np.float32), np.full(4, np.nan, np.float32)
        x[:4] = 1
        held.run({0: x, 1: y}, {1: out})
        np.testing.assert_array_equal(out, number + 2)
        assert x[4:].sum() == 0
    assert (fake.count("cuMemAlloc_v2"), fake.count("cuGraphLaunch")) == (2, 3)
    assert (fake.count("cuMemcpyHtoDAsync_v2"), fake.count("cuMemcpyDtoHAsync_v2")) == (9, 4)


def test_empty_grids_and_empty_buffers_cost_nothing(fake: FakeCuda) -> None:
    empty = np.zeros(0, np.float32)
    run = program(fake, add_launch(Pointer(0), Pointer(1), n=0, grid=(0,)))
    for _ in range(3):
        run_on_arrays(run, [empty, empty])
    for name in ("LaunchKernel", "MemAlloc_v2", "MemcpyHtoDAsync_v2", "GraphLaunch", "ModuleLoadData"):
        assert fake.count("cu" + name) == 0


def test_memory_checks_its_bounds(fake: FakeCuda) -> None:
    dev = fake.device()
    memory, stream = dev.allocate(16), dev.stream()
    memory.fill(0xFF, stream)
    memory.upload(np.zeros(2, np.float32), stream, 4)
    back = np.zeros(4, np.float32)
    memory.download(back, stream)
    assert np.isnan(back).tolist() == [True, False, False, True]
    with pytest.raises(ExecutorError, match="8 bytes at offset 12 do not fit into 16"):
        memory.download(back[:2], stream, 12)
    with pytest.raises(ExecutorError, match="contiguous"):
        memory.upload(back[::2], stream)


def test_a_failing_call_says_what_cuda_says(fake: FakeCuda) -> None:
    dev = fake.device()
    fake.fail["cuMemAlloc_v2"] = 2
    with pytest.raises(ExecutorError, match="cuMemAlloc_v2 failed: CUDA_ERROR_OUT_OF_MEMORY: out of memory"):
        dev.allocate(1 << 40)
    fake.fail["cuMemAlloc_v2"] = 77
    with pytest.raises(ExecutorError, match="cuMemAlloc_v2 failed: error 77"):
        dev.allocate(1)
    assert fake.context == []


def test_a_failure_while_recording_ends_the_recording(fake: FakeCuda) -> None:
    run = program(fake, add_launch(Pointer(0), Pointer(1)))
    memory = [run.device.allocate(16) for _ in range(2)]
    stream = run.device.stream()
    addresses = [place.address for place in memory]
    run.run(addresses, stream)
    fake.fail["cuLaunchKernel"] = 700
    with pytest.raises(ExecutorError, match="cuLaunchKernel failed"):
        run.run(addresses, stream)
    assert fake.captured is None
    assert fake.context == []
    fake.fail.clear()
    run.run(addresses, stream)
    assert fake.count("cuGraphLaunch") == 1


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (binary("k", (), target="cuda:80"), "a binary for cuda:80 cannot run on Fake H100: it needs cuda:90"),
        (binary("k", (), target="hip:gfx942"), "a binary for hip:gfx942 cannot run"),
        (binary("k", (), shared=300_000), "needs 300000 bytes of shared memory; Fake H100 has 232448"),
        (binary("k", (), num_ctas=2), "its num_ctas is 2, not 1"),
        (binary("k", (), global_scratch_size=128), "its global_scratch_size is 128, not 0"),
        (binary("k", (), launch_cooperative_grid=True), "launch_cooperative_grid"),
    ],
)
def test_binaries_that_cannot_run_here_are_refused(fake: FakeCuda, made: Any, words: str) -> None:
    with pytest.raises(ExecutorError, match=words):
        fake.device().load(made)


def test_much_shared_memory_is_asked_for(fake: FakeCuda) -> None:
    dev = fake.device()
    kernels = [dev.load(binary("k", (), shared=48 * 1024)), dev.load(binary("k", (), shared=100_000))]
    assert [kernel.shared for kernel in kernels] == [49152, 100_000]
    assert fake.shared_set == [100_000]


@pytest.mark.parametrize(
    ("capability", "name"), [((8, 0), "cuda:80"), ((8, 6), "cuda:80"), ((9, 0), "cuda:90"), ((12, 0), "cuda:120")]
)
def test_a_device_knows_its_target(capability: tuple[int, int], name: str) -> None:
    assert FakeCuda(capability).device().target.name == name


@pytest.mark.parametrize("capability", [(7, 5), (9, 1), (10, 3), (13, 0)])
def test_a_device_without_a_target_says_so(capability: tuple[int, int]) -> None:
    dev = FakeCuda(capability).device()
    with pytest.raises(ExecutorError, match=r"no target .*Fake H100, compute capability \d+\.\d"):
        _ = dev.target


def test_a_device_that_does_not_exist(fake: FakeCuda) -> None:
    with pytest.raises(ExecutorError, match="there is no CUDA device 1: the driver finds 1"):
        Device(1, cuda_driver.Driver(fake))


def test_events_measure(fake: FakeCuda) -> None:
    dev = fake.device()
    start, end, stream = dev.event(), dev.event(), dev.stream()
    start.record(stream)
    end.record(stream)
    stream.wait(end)
    assert end.milliseconds_since(start) == 1.5


def test_addresses_of_other_libraries(fake: FakeCuda) -> None:
    class Interface:
        def __init__(self, strides: tuple[int, ...] | None) -> None:
            self.__cuda_array_interface__ = {"data": (64, False), "shape": (2, 3), "typestr": "<f4", "strides": strides}

    class Torch:
        is_cuda = True

        def __init__(self, contiguous: bool) -> None:
            self.contiguous = contiguous

        def is_contiguous(self) -> bool:
            return self.contiguous

        def data_ptr(self) -> int:
            return 128

    memory = fake.device().allocate(4)
    assert device_address(memory) == memory.address
    assert [device_address(Interface(s)) for s in (None, (12, 4))] == [64, 64]
    assert device_address(Torch(True)) == 128
    for value in (Interface((4, 8)), Torch(False)):
        with pytest.raises(ExecutorError, match="contiguous"):
            device_address(value)
    with pytest.raises(ExecutorError, match="not memory on a CUDA device: ndarray"):
        device_address(np.zeros(3))


@pytest.mark.skipif(cuda_driver.why_unavailable() is None, reason="a CUDA device is present")
def test_without_a_device_the_error_says_why_and_what_else_there_is() -> None:
    with pytest.raises(ExecutorError, match=r"the cuda executor cannot run here: .*\n.*triton-interpreter"):
        device()
