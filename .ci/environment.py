"""The virtual environment of the start, test and CI commands: made on first use, kept until pyproject changes."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this file is what an older one is called with
    sys.exit(
        f"gradc needs Python 3.11 or newer, and {sys.executable} is Python {sys.version.split()[0]}.\n"
        "Call the same file with a newer interpreter, for instance python3.12."
    )

import contextlib
import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def say(text: str) -> None:
    print(f"== {text}", flush=True)


def call(what: str, *command: str | Path, **more: str) -> None:
    """Run a command in the root of the clone, its output shown; a failure ends the program with its code."""
    say(what)
    begun = time.monotonic()
    code = subprocess.run([str(part) for part in command], cwd=ROOT, env=os.environ | more, check=False).returncode
    if code:
        print(f"== failed with exit code {code}: {what}", file=sys.stderr, flush=True)
        sys.exit(code if 0 < code < 256 else 1)
    say(f"done in {time.monotonic() - begun:.0f} s: {what}")


def python_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def stamp() -> str:
    """Changes when the declared dependencies, the interpreter or the place of the clone do."""
    parts = ((ROOT / "pyproject.toml").read_bytes(), sys.version.encode(), str(ROOT).encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Two commands started at once must not install into one folder; only POSIX has the lock."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.name == "nt":
        yield
        return
    import fcntl

    with (folder / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def starts(python: Path) -> bool:
    """Whether a virtual environment's interpreter still works and has pip; its base may have been removed."""
    probe = [str(python), "-c", "import pip"]
    return python.exists() and subprocess.run(probe, capture_output=True, check=False).returncode == 0


def ensure(folder: Path) -> Path:
    """The interpreter of a virtual environment that holds gradc (editable) and its `test` extra."""
    python, mark = python_of(folder), folder / ".gradc-stamp"
    with locked(folder):
        if mark.exists() and mark.read_text() == stamp() and starts(python):
            return python
        mark.unlink(missing_ok=True)
        if not starts(python):
            try:
                import ensurepip  # noqa: F401
            except ImportError:
                sys.exit(f"{sys.executable} cannot make virtual environments: install its venv package (python3-venv).")
            call(f"making a virtual environment in {folder}", sys.executable, "-m", "venv", folder)
        call(
            "installing gradc with its test extra (torch and triton are large: minutes the first time)",
            *(python, "-m", "pip", "install", "--disable-pip-version-check", "--editable", f"{ROOT}[test]"),
        )
        # An editable install is not compiled by pip, and some machines forbid Python to write bytecode on import.
        packages = ("frontend", "ir", "passes", "codegen", "runtime")
        call("compiling gradc to bytecode", python, "-m", "compileall", "-q", *packages)
        mark.write_text(stamp())
    return python
