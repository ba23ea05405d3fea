"""The child of `worker.py`: runs Triton texts under TRITON_INTERPRET=1 on memory that it shares with its parent.

Started as a script; it imports triton and NumPy and nothing of gradc. One request per line of JSON on stdin, one reply
per line on stdout; the file that holds the buffers is mapped anew whenever it has grown.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import linecache
import mmap
import os
import sys
import traceback
import warnings
from typing import Any


class Pointer:
    """What the interpreter asks of a tensor argument; the memory is the parent's, so there is nothing to copy."""

    def __init__(self, address: int, dtype: str) -> None:
        self.address, self.dtype, self.shape = address, dtype, (1,)

    def data_ptr(self) -> int:
        return self.address

    def size(self) -> tuple[int, ...]:
        return (1,)

    def stride(self) -> tuple[int, ...]:
        return (1,)

    def storage_offset(self) -> int:
        return 0

    def untyped_storage(self) -> Pointer:
        return self

    def cpu(self) -> Pointer:
        return self

    def copy_(self, other: object) -> None:
        pass

    def new_empty(self, *size: object, device: object = None) -> Pointer:
        return self

    def set_(self, *view: object) -> Pointer:
        return self


def scalar(kind: str, value: float) -> Any:
    """A number of the declared type; by itself the interpreter takes the narrowest integer and leaves floats be."""
    import numpy as np
    import triton.language as tl
    from triton.runtime.interpreter import TensorHandle, _get_np_dtype

    dtype = tl.str_to_ty(kind, None)
    return tl.tensor(TensorHandle(np.array([value], _get_np_dtype(dtype)), dtype), dtype)


def mend_interpreter() -> None:
    """Three faults of the interpreter: before 3.7.1 it cannot loop to a run-time bound with NumPy >= 2.4, it truncates
    where a GPU rounds float32 to the nearest bfloat16, and it loses bfloat16's subnormal numbers."""
    import numpy as np
    import triton
    import triton.language as tl
    import triton.runtime.interpreter as interpreter

    if tuple(int(part) for part in triton.__version__.split("+")[0].split(".")[:3]) < (3, 7, 1):
        patch = interpreter._patch_lang_tensor

        def patched(tensor: Any, scope: Any) -> None:
            patch(tensor, scope)
            scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.squeeze()))

        interpreter._patch_lang_tensor = patched

    convert = interpreter._convert_float

    def exact(data: Any, source: Any, target: Any, mode: Any) -> Any:
        if source == tl.bfloat16 and target == tl.float32:
            return data.astype(np.uint32) << np.uint32(16)
        if source != tl.float32 or target != tl.bfloat16:
            return convert(data, source, target, mode)
        bits = data.view(np.uint32)
        nearest = (bits + (((bits >> np.uint32(16)) & np.uint32(1)) + np.uint32(0x7FFF))) >> np.uint32(16)
        quiet = (bits >> np.uint32(16)) | np.uint32(0x40)
        return np.where(np.isnan(data), quiet, nearest).astype(np.uint16)

    interpreter._convert_float = exact


def mend_tiles() -> None:
    """Three more: a scalar comparison spread over a tile becomes an int32, tl.dot multiplies the bits of bfloat16 as
    integers, and tl.reduce with a function of the text's own goes element by element (a thousand times slower)."""
    import numpy as np
    import triton.language as tl
    import triton.runtime.interpreter as interpreter

    builder = interpreter.InterpreterBuilder
    splat, dot = builder.create_splat, builder.create_dot
    ufuncs = {"nan_max": np.maximum, "nan_min": np.minimum, "product": np.multiply}

    def create_splat(self: Any, kind: Any, value: Any) -> Any:
        out = splat(self, kind, value)
        if value.data.dtype == bool:
            out.data = out.data.astype(bool)
        return out

    def create_dot(self: Any, a: Any, b: Any, *more: Any) -> Any:
        wide = [interpreter.TensorHandle(widened(x), tl.float32) if x.dtype == tl.bfloat16 else x for x in (a, b)]
        return dot(self, *wide, *more)

    def widened(x: Any) -> Any:
        return (x.data.astype(np.uint32) << np.uint32(16)).view(np.float32)

    class Reduce(interpreter.ReduceOps):  # type: ignore[misc,name-defined,unused-ignore]
        def apply_impl(self, values: Any) -> Any:
            ufunc = ufuncs.get(getattr(getattr(self.combine_fn, "fn", None), "__name__", ""))
            if ufunc is None or len(values) != 1:
                return super().apply_impl(values)
            data = values[0].handle.data
            out = ufunc.reduce(data, axis=self.axis, keepdims=self.keep_dims, dtype=data.dtype)
            return [self.to_tensor(out, values[0].dtype)]

    builder.create_splat, builder.create_dot = create_splat, create_dot
    interpreter.ReduceOps = Reduce


class Child:
    def __init__(self, memory: int) -> None:
        self.memory = memory
        self.map: mmap.mmap | None = None
        self.address = 0
        self.loaded: dict[str, dict[str, Any]] = {}

    def attach(self, size: int) -> None:
        if self.map is None or len(self.map) < size:
            self.map = mmap.mmap(self.memory, size)
            self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.map))

    def functions(self, text: str) -> dict[str, Any]:
        key = hashlib.sha256(text.encode()).hexdigest()
        if key not in self.loaded:
            name = f"gradc_{key[:16]}.py"
            linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
            namespace: dict[str, Any] = {"__name__": "gradc_kernels"}
            exec(compile(text, name, "exec"), namespace)
            self.loaded[key] = namespace
        return self.loaded[key]

    def launch(self, job: dict[str, Any]) -> None:
        functions = self.functions(job["text"])
        if job["name"] not in functions:
            raise NameError(f"the kernel text defines no {job['name']!r}")
        arguments: dict[str, Any] = {name: job["constexprs"].get(name) for name in job["parameters"]}
        for name, kind, value in job["arguments"]:
            arguments[name] = Pointer(self.address + value, kind[1:]) if kind.startswith("*") else scalar(kind, value)
        functions[job["name"]][tuple(job["grid"])](**arguments)

    def serve(self, requests: Any, replies: Any) -> None:
        for line in requests:
            request = json.loads(line)
            self.attach(request["size"])
            error = None
            for number, job in enumerate(request["jobs"]):
                try:
                    self.launch(job)
                except Exception as problem:  # noqa: BLE001 - whatever a text raises is the reply
                    error = {"launch": number, "text": describe(problem)}
                    break
            replies.write(json.dumps({"error": error}).encode() + b"\n")
            replies.flush()


def describe(problem: BaseException) -> str:
    """The cause, and the line of the kernel at which it arose."""
    while problem.__cause__ is not None:
        problem = problem.__cause__
    text = f"{type(problem).__name__}: {problem}"
    lines = [frame for frame in traceback.extract_tb(problem.__traceback__) if frame.filename.startswith("gradc_")]
    if lines:
        text += f"\n  in {lines[-1].name}, line {lines[-1].lineno}: {lines[-1].line}"
    return text


def main() -> None:
    """Replies leave by a copy of stdout, because a kernel may print; what it prints goes to stderr."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    import numpy as np

    np.seterr(all="ignore")
    mend_interpreter()
    mend_tiles()
    replies.write(b'{"ready": true}\n')
    replies.flush()
    Child(int(sys.argv[1])).serve(sys.stdin.buffer, replies)


if __name__ == "__main__":
    main()
