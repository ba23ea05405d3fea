"""The cache under everything that happens to files: cuts, flips, kills, races, foreign owners, folders that refuse."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from gradc.runtime import cache as cache_module
from gradc.runtime.cache import Cache

pytestmark = pytest.mark.wheel
KEY = "ab" * 32
PARTS = {"facts": b'{"registers": 3}', "text": b"line\n" * 100, "code": bytes(range(256)), "empty": b""}


def entry(cache: Cache) -> Path:
    assert cache.folder is not None
    return cache.folder / KEY[:2] / KEY[2:]


def test_what_was_put_comes_back(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c")
    assert cache.get(KEY) is None
    cache.put(KEY, PARTS)
    assert cache.get(KEY) == PARTS
    assert Cache(tmp_path / "c").get(KEY) == PARTS
    cache.put(KEY, {"other": b"1"})
    assert cache.get(KEY) == {"other": b"1"}
    assert cache.remarks == []


def test_the_folder_and_files_are_the_users_alone(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "a" / "c")
    cache.put(KEY, PARTS)
    assert cache.folder is not None
    for path in (cache.folder, entry(cache).parent, entry(cache)):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_every_cut_is_a_miss(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c")
    cache.put(KEY, PARTS)
    whole = entry(cache).read_bytes()
    for size in range(len(whole)):
        entry(cache).write_bytes(whole[:size])
        assert cache.get(KEY) is None
        assert not entry(cache).exists()
    entry(cache).write_bytes(whole + b"x")
    assert cache.get(KEY) is None
    assert "damaged" in cache.remarks[0]


def test_every_flipped_byte_is_a_miss(tmp_path: Path, rng: np.random.Generator) -> None:
    cache = Cache(tmp_path / "c")
    cache.put(KEY, PARTS)
    whole = entry(cache).read_bytes()
    for at in range(len(whole)):
        flipped = bytearray(whole)
        flipped[at] ^= 1 << int(rng.integers(8))
        entry(cache).write_bytes(flipped)
        assert cache.get(KEY) is None


def test_an_entry_under_another_key_is_a_miss(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c")
    cache.put(KEY, PARTS)
    other = "cd" * 32
    path = tmp_path / "c" / other[:2] / other[2:]
    path.parent.mkdir()
    entry(cache).rename(path)
    assert cache.get(other) is None


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'{"key": "%s"}' % KEY.encode(),
        b'{"key": "%s", "parts": 3}' % KEY.encode(),
        b'{"key": "%s", "parts": [["a", "x"]]}' % KEY.encode(),
        b'{"key": "%s", "parts": [["a", 1], ["b"]]}' % KEY.encode(),
        b'{"key": "%s", "parts": [["a", 5]]}' % KEY.encode(),
        b'{"key": "%s", "parts": [["a", 3]]}' % KEY.encode(),
        b'{"key": "%s", "parts": [["a", 5], ["b", -1]]}' % KEY.encode(),
        b'{"key": 4, "parts": [["a", 4]]}',
    ],
)
def test_an_entry_with_a_right_sum_and_a_wrong_header_is_a_miss(header: bytes, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c")
    cache.put(KEY, PARTS)
    body = header + b"\n" + b"data"
    entry(cache).write_bytes(cache_module._MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    assert cache.get(KEY) is None
    assert not entry(cache).exists()
    cache.put(KEY, PARTS)
    assert cache.get(KEY) == PARTS


def test_links_and_foreign_things_in_place_of_an_entry(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c")
    cache.put(KEY, PARTS)
    entry(cache).rename(tmp_path / "elsewhere")
    entry(cache).symlink_to(tmp_path / "elsewhere")
    assert cache.get(KEY) is None
    entry(cache).unlink()
    entry(cache).mkdir()
    assert cache.get(KEY) is None
    cache.put(KEY, PARTS)
    assert cache.get(KEY) is None
    assert any("not written" in remark for remark in cache.remarks)


@pytest.mark.parametrize("key", ["", "../../../etc/passwd", "AB" * 32, "ab" * 31])
def test_a_key_is_a_hash(key: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        Cache(tmp_path / "c").get(key)


def test_a_folder_that_others_can_write_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c").chmod(0o777)
    cache = Cache(tmp_path / "c")
    cache.put(KEY, PARTS)
    assert cache.get(KEY) is None
    assert list((tmp_path / "c").iterdir()) == []
    assert "others may write" in cache.remarks[0]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no owners on this system")
def test_a_folder_of_another_user_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 987654)
    cache = Cache(tmp_path)
    assert cache.folder is None
    assert "belongs to user" in cache.remarks[0]


def test_a_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GRADC_CACHE_DIR", str(tmp_path / "file" / "c"))
    cache = Cache()
    cache.put(KEY, PARTS)
    assert cache.get(KEY) is None
    assert cache.remarks[0].startswith("no cache: ")


@pytest.mark.parametrize("call", ["mkstemp", "replace", "write"])
def test_a_full_disk_is_a_remark_and_leaves_nothing(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path / "c")

    def full(*args: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    if call == "mkstemp":
        monkeypatch.setattr(tempfile, "mkstemp", full)
    elif call == "replace":
        monkeypatch.setattr(cache_module.os, "replace", full)
    else:
        monkeypatch.setattr(cache_module, "_pack", full)
    cache.put(KEY, PARTS)
    assert cache.get(KEY) is None
    assert list(entry(cache).parent.iterdir()) == []
    assert cache.remarks == ["cache entry not written: [Errno 28] No space left on device"]


def test_leftovers_of_killed_writers_go_in_time(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c")
    folder = entry(cache).parent
    folder.mkdir()
    for name, age in ((".new-old", 7200), (".new-young", 0)):
        (folder / name).write_text("part")
        os.utime(folder / name, (time.time() - age,) * 2)
    cache.put(KEY, PARTS)
    assert sorted(path.name for path in folder.iterdir()) == [".new-young", KEY[2:]]


def test_the_least_recently_used_entries_go_when_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "_LIMIT_PER_FOLDER", 3500)
    cache = Cache(tmp_path / "c")
    keys = ["ab" + f"{number:062x}" for number in range(5)]
    for age, key in enumerate(keys[:3]):
        cache.put(key, {"body": bytes(800)})
        os.utime(tmp_path / "c" / "ab" / key[2:], (1000 + age,) * 2)
    assert cache.get(keys[0]) is not None
    cache.put(keys[3], {"body": bytes(800)})
    assert [cache.get(key) is not None for key in keys] == [True, False, True, True, False]


WRITER = """
import sys
from pathlib import Path
from gradc.runtime.cache import Cache
cache = Cache(Path(sys.argv[1]))
print("ready", flush=True)
number = 0
while True:
    number += 1
    cache.put(sys.argv[2], {"n": b"%d" % number, "body": b"%d" % (number % 10) * 50000})
"""


def test_readers_beside_killed_writers_see_whole_entries(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c")
    seen = 0
    for _ in range(5):
        command = [sys.executable, "-c", WRITER, str(tmp_path / "c"), KEY]
        writers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
        for writer in writers:
            assert writer.stdout is not None
            writer.stdout.readline()
        until = time.monotonic() + 0.2
        while time.monotonic() < until:
            parts = cache.get(KEY)
            if parts is not None:
                seen += 1
                assert parts["body"] == b"%d" % (int(parts["n"]) % 10) * 50000
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
            assert writer.stdout is not None
            writer.stdout.close()
        parts = cache.get(KEY)
        assert parts is not None
    assert seen > 20
    assert cache.remarks == []
