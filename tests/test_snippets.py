"""Ordinary torch programs, each a few lines: what they print, warn and raise is what torch's do. A file of snippets/
holds sections `### name`; a statement that raises prints its error and does not end its section."""

from pathlib import Path

import parity
import pytest

pytest.importorskip("torch", reason="torch is the reference")

FILES = sorted((Path(__file__).parent / "snippets").glob("*.txt"))
SECTIONS = {
    f"{file.stem}-{part.partition(chr(10))[0].strip()}": part.partition("\n")[2]
    for file in FILES
    for part in file.read_text(encoding="utf-8").split("### ")[1:]
}


@pytest.mark.parametrize("name", SECTIONS)
def test_it_prints_what_torch_prints(name):
    parity.same("nn, F = torch.nn, torch.nn.functional\n" + SECTIONS[name])
