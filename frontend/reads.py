"""Which names a code object reads from outside of itself, with the attributes it follows from there."""

from __future__ import annotations

import dis
from types import CodeType
from typing import NamedTuple

GLOBALS = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})
FREE = frozenset({"LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"})
ATTRIBUTES = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
SKIPPED = frozenset({"CACHE", "EXTENDED_ARG"})
SELF = "<first argument>"
IMPORT = "import "

Bound = dict[str, tuple[str, tuple[str, ...]]]
"""Names that import statements in a function bind: the module as written, and the attributes of it."""


class Read(NamedTuple):
    """`name.a.b`; `where` is "" for a global, the cell's name for a closure, SELF for the first argument, and
    "import module" for a module imported in the function."""

    name: str
    attributes: tuple[str, ...]
    where: str


def reads_of(code: CodeType) -> list[Read]:
    """The reads of a code object and of the functions and lambdas defined in it, once each, in order."""
    found: dict[Read, None] = {}
    free = set(code.co_freevars)
    first = code.co_varnames[0] if code.co_argcount else None
    bodies = [(body, [i for i in dis.get_instructions(body) if i.opname not in SKIPPED]) for body in _bodies(code)]
    imports: Bound = {}
    for _, instructions in bodies:
        imports.update(_imports(instructions))
    for body, instructions in bodies:
        own = first if body is code or first in body.co_freevars else None
        for at, i in enumerate(instructions):
            for name, where, last in _loaded(i, free, own, imports):
                after = at + 1
                while last and after < len(instructions) and instructions[after].opname in ATTRIBUTES:
                    after += 1
                chain = tuple(str(x.argval) for x in instructions[at + 1 : after])
                if where == IMPORT:
                    module, lead = imports[name]
                    found[Read(name, (*lead, *chain), IMPORT + module)] = None
                else:
                    found[Read(name, chain, where)] = None
    return list(found)


def _bodies(code: CodeType) -> list[CodeType]:
    out, stack = [], [code]
    while stack:
        out.append(stack.pop())
        stack.extend(c for c in out[-1].co_consts if isinstance(c, CodeType))
    return out


def _loaded(i: dis.Instruction, free: set[str], first: str | None, imports: Bound) -> list[tuple[str, str, bool]]:
    """What one instruction loads: (name, where, whether attributes may follow)."""
    if i.opname in GLOBALS:
        return [(str(i.argval), "", True)]
    if i.opname in FREE and i.argval in free:
        return [(str(i.argval), str(i.argval), True)]
    if not (i.opname.startswith("LOAD_FAST") or i.opname in FREE):
        return []
    names = i.argval if isinstance(i.argval, tuple) else (i.argval,)
    loaded = [(str(n), SELF if n == first else IMPORT, k == len(names) - 1) for k, n in enumerate(names)]
    return [x for x in loaded if x[1] == SELF or x[0] in imports]


def _imports(instructions: list[dis.Instruction]) -> Bound:
    out: Bound = {}
    module, taken, picked = "", (), ""
    for at, i in enumerate(instructions):
        if i.opname == "IMPORT_NAME":
            level, taken = instructions[at - 2].argval, instructions[at - 1].argval or ()
            module, picked = "." * int(level or 0) + str(i.argval), ""
        elif i.opname == "IMPORT_FROM":
            picked = str(i.argval)
        elif i.opname.startswith("STORE_") and module:
            name = str(i.argval)
            if taken:
                out[name] = (module, (picked,))
            else:
                # `import a.b` binds a; `import a.b as c` binds a.b.
                out[name] = (module if picked or "." not in module else module.partition(".")[0], ())
            if instructions[at + 1].opname != "IMPORT_FROM":
                module = ""
    return out
