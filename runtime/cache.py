"""The cache on disk: named byte strings under a key, in one file each that carries its own checksum.

A file is written beside its place and renamed into it, so that a reader sees all of it or nothing; a file that is cut,
flipped or foreign is a miss and is removed. The folder belongs to the user alone, because a binary that is loaded from
it is run. Nothing here ever fails a compile: what goes wrong is a remark, and the cache stays out of the way.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import time
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_MAGIC = b"gradc-cache-1\n"
_DIGITS = frozenset("0123456789abcdef")
_STEERING = ("DISABLE_LLVM_OPT", "DISABLE_PTXAS_OPT")
_HARMLESS = ("TRITON_ALWAYS_COMPILE", "TRITON_CACHE_DIR", "TRITON_HOME", "TRITON_INTERPRET")
_LEFT_OVER_AFTER = 3600.0
_LIMIT_PER_FOLDER = 4 << 20


@cache
def _triton() -> tuple[str, ...]:
    """Which triton would be imported: its version and its compiler's size and time. importlib.metadata would take
    longer than all the rest of a warm start."""
    spec = find_spec("triton")
    if spec is None or spec.origin is None:
        return ("no triton",)
    package = Path(spec.origin)
    found = [f"triton {line}" for line in package.read_text().splitlines() if line.startswith("__version__")]
    with contextlib.suppress(OSError), os.scandir(package.parent / "_C") as files:
        for file in sorted((f for f in files if f.name.startswith("libtriton")), key=lambda f: f.name):
            facts = file.stat()
            found.append(f"{file.name} {facts.st_size} {facts.st_mtime_ns}")
    return tuple(found)


@cache
def _readers() -> str:
    """The code that makes what is stored of a binary: facts that were read by another are not taken."""
    names = ("binary", "compile", "facts", "inspect", "instructions")
    return hashlib.sha256(b"".join(Path(__file__).with_name(f"{name}.py").read_bytes() for name in names)).hexdigest()


def environment_key() -> list[str]:
    """What a binary depends on beside its source: triton, the code that reads facts from it, and whatever is set that
    steers triton, the assemblers that replace its own with their size and time."""
    parts = [_readers(), *_triton()]
    for variable, value in sorted(os.environ.items()):
        if variable in _STEERING or (variable.startswith("TRITON_") and variable not in _HARMLESS):
            parts.append(f"{variable}={value}")
            if variable.endswith("_PATH"):
                with contextlib.suppress(OSError):
                    found = os.stat(value)
                    parts.append(f"{found.st_size} {found.st_mtime_ns}")
    return parts


def default_folder() -> Path:
    """GRADC_CACHE_DIR, else gradc/ in the user's cache folder."""
    chosen = os.environ.get("GRADC_CACHE_DIR")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "gradc"


class Cache:
    """`get(key)` gives back what `put(key, parts)` stored, or None; `remarks` says what went wrong on the way."""

    def __init__(self, folder: Path | None = None) -> None:
        self.remarks: list[str] = []
        self.folder: Path | None = None
        try:
            self.folder = self._own(default_folder() if folder is None else Path(folder))
        except (OSError, RuntimeError) as error:
            self._remark(f"no cache: {error}")

    def _remark(self, text: str) -> None:
        if text not in self.remarks:
            self.remarks.append(text)

    def _own(self, folder: Path) -> Path | None:
        """The folder, made if need be; None with a remark when somebody else could write to it."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = os.stat(folder)
        if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
            self._remark(f"no cache: {folder} belongs to user {found.st_uid}")
            return None
        if os.name != "nt" and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            self._remark(f"no cache: others may write to {folder}; its mode should be 0700")
            return None
        return folder

    def _path(self, key: str) -> Path | None:
        if self.folder is None:
            return None
        if len(key) != 64 or not _DIGITS.issuperset(key):
            raise ValueError(f"a cache key is 64 hexadecimal digits, got {key!r}")
        return self.folder / key[:2] / key[2:]

    def get(self, key: str) -> dict[str, bytes] | None:
        path = self._path(key)
        if path is None:
            return None
        try:
            with open(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb") as file:
                data = file.read()
                with contextlib.suppress(OSError):
                    os.utime(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._remark(f"cache entry not read: {error}")
            return None
        parts = _unpack(key, data)
        if parts is None:
            self._remark(f"cache entry {key[:12]} is damaged and is made again")
            try:
                path.unlink()
            except OSError as error:
                self._remark(f"damaged cache entry not removed: {error}")
        return parts

    def put(self, key: str, parts: Mapping[str, bytes]) -> None:
        path = self._path(key)
        if path is None:
            return
        import tempfile

        temporary = None
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=".new-", dir=path.parent)
            with open(handle, "wb") as file:
                file.write(_pack(key, parts))
            os.replace(temporary, path)
        except OSError as error:
            self._remark(f"cache entry not written: {error}")
            if temporary is not None:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
        self._tidy(path.parent)

    def _tidy(self, folder: Path) -> None:
        """Remove what processes that were killed while writing left behind, and the entries that were not used for the
        longest time where a folder (one of 256) has grown past its limit."""
        with contextlib.suppress(OSError):
            found = sorted((entry.stat().st_mtime, entry.stat().st_size, entry.path) for entry in os.scandir(folder))
            total = sum(size for _, size, _ in found)
            for used, size, path in found:
                left_over = os.path.basename(path).startswith(".new-")
                if used < time.time() - _LEFT_OVER_AFTER if left_over else total > _LIMIT_PER_FOLDER:
                    os.unlink(path)
                    total -= size


def _pack(key: str, parts: Mapping[str, bytes]) -> bytes:
    header = json.dumps({"key": key, "parts": [[name, len(data)] for name, data in parts.items()]}).encode() + b"\n"
    body = header + b"".join(parts.values())
    return _MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def _unpack(key: str, data: bytes) -> dict[str, bytes] | None:
    """The parts, or None unless every byte is as it was written and under this key. A sum alone proves little: whoever
    writes an entry can write its sum."""
    start = len(_MAGIC) + 65
    body = data[start:]
    if data[:start] != _MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n":
        return None
    line, _, payload = body.partition(b"\n")
    try:
        header = json.loads(line)
        sizes = {str(name): int(size) for name, size in header["parts"]}
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    if header["key"] != key or sum(sizes.values()) != len(payload) or min(sizes.values(), default=0) < 0:
        return None
    parts, at = {}, 0
    for name, size in sizes.items():
        parts[name] = payload[at : at + size]
        at += size
    return parts

