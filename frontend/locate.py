"""Where in the user's code an op is applied, and the name of the variable its result is assigned to.

Both are read from the innermost frame that is not gradc's own: its line, and the instruction after the one that runs.
A `Locator` remembers what it decoded, so that an op in a loop costs a walk over gradc's few frames and two look-ups.
"""

from __future__ import annotations

import dis
import os
import sys
from bisect import bisect_right
from types import CodeType, FrameType, TracebackType
from typing import NamedTuple

import gradc.ir
from gradc.ir.graph import Loc

STORES = frozenset({"STORE_FAST", "STORE_NAME", "STORE_GLOBAL", "STORE_DEREF", "STORE_ATTR"})
PAIRS = frozenset({"STORE_FAST_STORE_FAST", "STORE_FAST_LOAD_FAST"})
OWNERS = frozenset({"LOAD_FAST", "LOAD_DEREF", "LOAD_GLOBAL", "LOAD_NAME"})
SILENT = frozenset({"COPY", "NOP", "EXTENDED_ARG"})


def own_folders() -> tuple[str, ...]:
    """The folders gradc's files lie in (in a checkout they have no common parent of their own)."""
    here = os.path.dirname(os.path.abspath(__file__))
    ir = os.path.dirname(os.path.abspath(gradc.ir.__file__ or here))
    beside = os.path.dirname(ir)
    return tuple(p + os.sep for p in (here, ir, *(os.path.join(beside, d) for d in ("passes", "codegen", "runtime"))))


class Place(NamedTuple):
    """One instruction of the user's: its location, and the names its results are stored under (maybe none)."""

    loc: Loc
    names: tuple[str, ...]


class _Code:
    """What is known of one code object; holds it, so that its id stays its own."""

    __slots__ = ("code", "file", "instructions", "offsets", "own", "places")

    def __init__(self, code: CodeType, own: bool) -> None:
        self.code, self.own = code, own
        self.places: dict[int, Place] = {}
        self.file: str | None = None
        self.instructions: list[dis.Instruction] = []
        self.offsets: list[int] = []


class Locator:
    """Finds the place of the op that is being applied; one per trace."""

    def __init__(self) -> None:
        self._own = own_folders()
        self._codes: dict[int, _Code] = {}
        self._cwd = os.getcwd() + os.sep

    def here(self) -> Place | None:
        """The place in the innermost frame outside gradc; None where there is no such frame."""
        frame: FrameType | None = sys._getframe(1)
        codes = self._codes
        while frame is not None:
            known = codes.get(id(frame.f_code))
            if known is None:
                code = frame.f_code
                known = codes[id(code)] = _Code(code, code.co_filename.startswith(self._own))
            if known.own:
                frame = frame.f_back
                continue
            at = frame.f_lasti
            place = known.places.get(at)
            if place is None:
                place = known.places[at] = self._decode(known, frame)
            return place
        return None

    def of_traceback(self, tb: TracebackType | None) -> Loc | None:
        """The innermost line outside gradc through which an exception went."""
        found = None
        while tb is not None:
            code = tb.tb_frame.f_code
            if not code.co_filename.startswith(self._own):
                found = Loc(self.file_of(code.co_filename, tb.tb_frame.f_globals.get("__name__")), tb.tb_lineno)
            tb = tb.tb_next
        return found

    def _decode(self, known: _Code, frame: FrameType) -> Place:
        if known.file is None:
            known.file = self.file_of(known.code.co_filename, frame.f_globals.get("__name__"))
            known.instructions = list(dis.get_instructions(known.code))
            known.offsets = [i.offset for i in known.instructions]
        at = bisect_right(known.offsets, frame.f_lasti) - 1
        position = known.instructions[at].positions if at >= 0 else None
        column = (position.col_offset or 0) + 1 if position is not None else 0
        return Place(Loc(known.file, frame.f_lineno or 0, column), self._names(known.instructions, at + 1))

    def file_of(self, path: str, module: str | None) -> str:
        """How a location names a file: relative to the working directory, else by its module."""
        full = os.path.abspath(path)
        if path.startswith("<"):
            return path
        if full.startswith(self._cwd):
            return full[len(self._cwd) :].replace(os.sep, "/")
        return os.path.basename(path) if module in (None, "__main__") else str(module)

    @staticmethod
    def _names(instructions: list[dis.Instruction], at: int) -> tuple[str, ...]:
        names: list[str] = []
        wanted = 1
        while at < len(instructions) and len(names) < wanted:
            i = instructions[at]
            if i.opname in STORES:
                names.append(str(i.argval))
            elif i.opname in PAIRS:
                names.extend(i.argval if i.opname == "STORE_FAST_STORE_FAST" else i.argval[:1])
            elif i.opname == "UNPACK_SEQUENCE" and not names:
                wanted = int(i.argval)
            elif i.opname in OWNERS and at + 1 < len(instructions) and instructions[at + 1].opname == "STORE_ATTR":
                at += 1
                continue
            elif i.opname not in SILENT:
                break
            at += 1
        return tuple(names[:wanted])
