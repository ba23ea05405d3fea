"""torch's einsum equations: parsed, checked with torch's sentences, and made canonical."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradc.ir.errors import GradRuntimeError

LOWER = "abcdefghijklmnopqrstuvwxyz"
UPPER = LOWER.upper()
LETTERS = LOWER + UPPER


def _refuse(sentence: str) -> GradRuntimeError:
    return GradRuntimeError(f"einsum(): {sentence}")


def _letters(text: str, what: str) -> list[str]:
    """Labels of one term, an ellipsis as "..."."""
    out: list[str] = []
    i = 0
    while i < len(text):
        c = text[i]
        if c == ".":
            if text[i : i + 3] != "...":
                raise _refuse(f"found '.' for {what} that is not part of any ellipsis")
            if "..." in out:
                raise _refuse(f"found '.' for {what} for which an ellipsis was already found")
            out.append("...")
            i += 3
            continue
        if c != " ":
            if c not in LETTERS:
                raise _refuse(
                    f"invalid subscript given at index {i} in the equation string, subscripts must be in [a-zA-Z]"
                )
            out.append(c)
        i += 1
    return out


def resolve(equation: str, operands: Sequence[Any]) -> tuple[list[Any], str]:
    """The operands without repeated labels and stretched dimensions, and the equation with one letter a dimension."""
    if not operands:
        raise _refuse("must provide at least one operand")
    arrow = equation.find("->")
    left = equation if arrow < 0 else equation[:arrow]
    texts = left.split(",")
    if len(texts) != len(operands):
        count = "fewer" if len(operands) < len(texts) else "more"
        raise _refuse(f"{count} operands were provided than specified in the equation")
    terms = [_letters(t, f"operand {i}") for i, t in enumerate(texts)]
    spare = iter(c for c in LETTERS if c not in equation)
    hidden: list[str] = []
    for i, (term, x) in enumerate(zip(terms, operands, strict=True)):
        n = x.ndim - len([v for v in term if v != "..."])
        if n < 0 or (n > 0 and "..." not in term):
            extra = "" if "..." in term else " and no ellipsis was given"
            verb = "does not match" if "..." not in term else "is more than"
            raise _refuse(
                f"the number of subscripts in the equation ({x.ndim - n}) {verb} the number of dimensions ({x.ndim}) "
                f"for operand {i}{extra}"
            )
        if "..." in term:
            hidden = [next(spare) for _ in range(n - len(hidden))] + hidden
    full = [
        [v for u in term for v in (hidden[len(hidden) - (x.ndim - len(term) + 1) :] if u == "..." else [u])]
        for term, x in zip(terms, operands, strict=True)
    ]
    counts: dict[str, int] = {}
    for ls in full:
        for v in ls:
            counts[v] = counts.get(v, 0) + 1
    if arrow < 0:
        out = hidden + sorted(v for v in counts if counts[v] == 1 and v not in hidden)
    else:
        out = [v for u in _letters(equation[arrow + 2 :], "the output") for v in (hidden if u == "..." else [u])]
    for v in out:
        if v not in counts:
            raise _refuse(f"output subscript {v} does not appear in the equation for any input operand")
        if out.count(v) > 1:
            raise _refuse(f"output subscript {v} appears more than once in the output")
    tensors = [_diagonals(i, x, ls) for i, (x, ls) in enumerate(zip(operands, full, strict=True))]
    _unstretch(tensors, full)
    return tensors, ",".join("".join(ls) for ls in full) + "->" + "".join(out)


def _diagonals(operand: int, x: Any, labels: list[str]) -> Any:
    """Take diagonals until no label repeats; `labels` is changed along."""
    for v in list(dict.fromkeys(labels)):
        while labels.count(v) > 1:
            i = labels.index(v)
            j = labels.index(v, i + 1)
            if x.shape[i] != x.shape[j]:
                raise _refuse(
                    f"subscript {v} is repeated for operand {operand} but the sizes don't match, "
                    f"{x.shape[j]} != {x.shape[i]}"
                )
            x = x.diagonal(0, i, j)
            del labels[j], labels[i]
            labels.append(v)
    return x


def _unstretch(tensors: list[Any], labels: list[list[str]]) -> None:
    """Drop dimensions of extent 1 whose label has another extent elsewhere."""
    extents: dict[str, int] = {}
    for x, ls in zip(tensors, labels, strict=True):
        for v, d in zip(ls, x.shape, strict=True):
            if d != 1:
                extents.setdefault(v, d)
    for k, ls in enumerate(labels):
        for v in [v for v, d in zip(ls, tensors[k].shape, strict=True) if d == 1 and v in extents]:
            tensors[k] = tensors[k].squeeze(ls.index(v))
            ls.remove(v)
