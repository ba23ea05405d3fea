"""What a kernel's text makes each lane do: instructions outside and inside loops, those of the special function unit
among them, and the kind of matrix instruction.

PTX is counted before the assembler has seen it, so its numbers are an estimate of the machine's; AMD's text is what the
chip runs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .facts import Instructions


@dataclass(frozen=True)
class _Language:
    """How to tell labels, branches and instructions in an assembler's text; `matrix` finds the type of a product."""

    label: re.Pattern[str]
    branch: re.Pattern[str]
    instruction: re.Pattern[str]
    special: re.Pattern[str]
    matrix: re.Pattern[str]


_PTX = _Language(
    re.compile(r"^\s*(\$L\w+):"),
    re.compile(r"\bbra(?:\.\w+)*\s+(\$L\w+)"),
    re.compile(r"^\s*(?:@!?%p\d+\s+)?([a-z]\w*)[\w.:]*(?:\s[^;]*)?;"),
    re.compile(r"^(?:ex2|lg2|rcp|rsqrt|sqrt|sin|cos|tanh|div)$"),
    re.compile(r"\b(?:wgmma\.mma_async|mma|tcgen05\.mma)\.[\w.:]*?\b(tf32|bf16|f16|f64|e4m3|e5m2)\."),
)
_AMD = _Language(
    re.compile(r"^(\.LBB\w+):"),
    re.compile(r"^\s*s_c?branch\w*\s+(\.LBB\w+)"),
    re.compile(r"^\s+([a-z]+_\w+)(?:\s|$)"),
    re.compile(r"^v_(?:exp|log|rcp|rsq|sqrt|sin|cos)_(?:iflag_)?f(?:16|32|64)"),
    re.compile(r"^\s*v_(?:mfma|wmma)_f\d+_\d+x\d+x\d+(?:_\d+b)?_?(xf32|bf16|f16|f32|f64|fp8|bf8)"),
)
_SAME = {"xf32": "tf32", "e4m3": "f8", "e5m2": "f8", "fp8": "f8", "bf8": "f8"}


def ptx_instructions(text: str) -> Instructions:
    return _count(text, _PTX)


def amdgcn_instructions(text: str) -> Instructions:
    return _count(text, _AMD)


def _count(text: str, language: _Language) -> Instructions:
    """A loop is what lies between a label and the last branch back to it."""
    special: list[bool] = []
    labels: dict[str, int] = {}
    ends: dict[int, int] = {}
    matrix = ""
    for line in text.splitlines():
        label = language.label.match(line)
        if label:
            labels[label[1]] = len(special)
            continue
        instruction = language.instruction.match(line)
        if instruction is None:
            continue
        special.append(language.special.match(instruction[1]) is not None)
        branch = language.branch.search(line)
        if branch and branch[1] in labels:
            ends[labels[branch[1]]] = len(special)
        elif not matrix:
            product = language.matrix.search(line)
            matrix = product[1] if product else ""
    inside = [False] * len(special)
    for start, end in ends.items():
        inside[start:end] = [True] * (end - start)
    looped, looped_special = sum(inside), sum(map(all, zip(inside, special, strict=True)))
    return Instructions(
        len(special) - looped, looped, sum(special) - looped_special, looped_special, _SAME.get(matrix, matrix)
    )
