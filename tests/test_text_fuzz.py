"""Whatever the text, `parse` answers with a module, a ParseError or a VerifyError, and soon."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ir_programs import everything, kernel_modules
from speed import seconds

from gradc.ir import Module, ParseError, VerifyError, parse

settings.register_profile("text", derandomize=True, max_examples=400, deadline=None, database=None)
PROFILE = settings(settings.get_profile("text"), suppress_health_check=list(HealthCheck))


def first_kernel() -> Module:
    return next(m for _, m in kernel_modules())


TEXTS = [m.to_text(generic=g) for m in (everything(), first_kernel()) for g in (False, True)]
WORDS = [
    "%x",
    "%0",
    "%0:2",
    "%0#1",
    "@f",
    '@"a b"',
    "#loc",
    "^bb0",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "<",
    ">",
    ":",
    ",",
    "=",
    "->",
    "tensor<4xf32>",
    "tensor<99999999999999999999xf32>",
    "tensor<0x0xi1>",
    "tensor<-1xf32>",
    "tensor<",
    "!tile.v<r, f32>",
    "!tile.buffer<4xf32, align 3>",
    "!x.y<z>",
    "f32",
    "i64",
    "index",
    "true",
    "1",
    "-1",
    "0x7FC00000",
    "1.5e300",
    "99999999999999999999999999",
    "9" * 5000,
    '"s"',
    '"\\',
    "loc(unknown)",
    'loc("a":1:2)',
    "loc(",
    "dense<1.0> : tensor<4xf32>",
    "dense<",
    "array<i64: 1>",
    "array<",
    "grad.mul",
    '"grad.mul"',
    "grad.call",
    "gradc.return",
    "grad.func",
    "attributes",
    "no_grad = true",
    "names = [1]",
    "regions = [{}]",
    "arg_attrs = [{}]",
    "// c",
    "\0",
    "\\",
    "é",
    "\ud800",
    "\n",
    "-",
    "/",
]


def answered(text: str) -> None:
    """Parse; what comes back prints and parses again."""
    place: tuple[int, ...] | None = None
    try:
        m = parse(text)
    except ParseError as e:
        place = (e.line, e.column)
    except VerifyError as e:
        place = (e.line, e.law)
    if place is not None:
        assert all(n > 0 for n in place), place
        return
    for generic in (False, True):
        out = m.to_text(generic=generic)
        assert parse(out).to_text(generic=generic) == out


@pytest.mark.parametrize("index", range(len(TEXTS)))
def test_text_cut_anywhere_gets_an_error(index: int) -> None:
    """At every character of the kernels, at every seventh of the long texts; only the last location may be missing."""
    text = TEXTS[index].rstrip().removesuffix(" loc(unknown)")
    for i in range(0, len(text), 1 if len(text) < 4000 else 7):
        with pytest.raises((ParseError, VerifyError)):
            parse(text[:i])


@PROFILE
@given(
    st.sampled_from(TEXTS),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), st.sampled_from(["", *WORDS])), max_size=5),
)
def test_mutated_text_gets_an_answer(text: str, edits: list[tuple[float, int, str]]) -> None:
    for where, cut, word in edits:
        i = int(where * len(text))
        text = text[:i] + word + text[i + cut :]
    answered(text)


@PROFILE
@given(
    st.sampled_from(TEXTS),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(0, 80)), min_size=1, max_size=3),
)
def test_shuffled_pieces_get_an_answer(text: str, moves: list[tuple[float, float, int]]) -> None:
    for a, b, n in moves:
        i, j = int(a * len(text)), int(b * len(text))
        text = text[:j] + text[i : i + n] + text[j:]
    answered(text)


@PROFILE
@given(
    st.sampled_from(TEXTS),
    st.lists(st.tuples(st.floats(0, 1), st.sampled_from(TEXTS), st.floats(0, 1)), min_size=1, max_size=3),
)
def test_lines_of_other_texts_get_an_answer(text: str, moves: list[tuple[float, str, float]]) -> None:
    """Lines of the readable form in the generic one, too, and of kernels in functions."""
    lines = text.splitlines()
    for at, other, place in moves:
        source = other.splitlines()
        lines[int(at * (len(lines) - 1))] = source[int(place * (len(source) - 1))]
    answered("\n".join(lines))


@PROFILE
@given(st.lists(st.sampled_from(WORDS), max_size=40))
def test_word_salad_gets_an_answer(words: list[str]) -> None:
    answered(" ".join(words))
    answered("grad.func @f(%x: tensor<4xf32>) {\n" + " ".join(words))


@PROFILE
@given(st.text(max_size=200))
def test_any_text_gets_an_answer(text: str) -> None:
    answered(text)


@pytest.mark.parametrize(
    "text",
    [
        " " * 300_000,
        "// " + "x" * 300_000,
        "//\n" * 100_000,
        "(" * 200_000,
        "[" * 200_000,
        '"' + "\\" * 200_000,
        '"' * 200_001,
        "%" * 200_000,
        "tensor<" * 50_000,
        "!a<" * 50_000,
        "-" * 200_000,
        "0x" * 100_000,
        "1" * 300_000,
        "grad.func @f() attributes {a = " + "{a = " * 50_000,
        "grad.func @f() attributes {a = " + "[" * 50_000 + "]" * 50_000 + "} { gradc.return }",
        "grad.func @f(%x: tensor<4xf32>) {" + '"grad.call"(%x) ({' * 50_000,
        "grad.func @f(%x: tensor<4xf32>) {" + "%0 = grad.call %x : tensor<4xf32> { grad.region @r() {" * 20_000,
        "#loc = loc(unknown)\n" * 50_000,
        "grad.func @f(" + ", ".join(f"%x{i}: tensor<f32>" for i in range(20_000)) + ") {\n" + "%x1 " * 1000,
    ],
    ids=lambda t: f"{t[:12]!r}...",
)
def test_large_nonsense_is_refused_in_linear_time(text: str) -> None:
    def refused() -> None:
        with pytest.raises((ParseError, VerifyError)) as e:
            parse(text)
        assert len(str(e.value)) < 1000

    assert seconds(refused, tries=1) < 5
