"""Content hashes: a file is read once, and again whenever it may have changed."""

import hashlib
import os
from pathlib import Path

import datasets
import pytest

from dragoman.errors import InputError
from dragoman.text import hashes
from dragoman.text.hashes import content_hash


@pytest.fixture(autouse=True)
def reads(tmp_path, monkeypatch) -> list[str]:
    """The files that were really read; every file counts as settled."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(hashes, "SETTLED", -(10**12))
    found: list[str] = []
    digest = hashlib.file_digest

    def counted(stream, name):
        found.append(os.path.basename(stream.name))
        return digest(stream, name)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    return found


def put(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def sha(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def test_a_file_that_stays_as_it_is_is_read_once(tmp_path, reads):
    path = put(tmp_path / "a.txt", "one")
    assert [content_hash(path) for _ in range(3)] == [sha("one")] * 3
    assert content_hash(Path(os.path.relpath(path))) == sha("one")
    assert reads == ["a.txt"]


@pytest.mark.parametrize("change", ["size", "same size", "same size and time", "another file in its place"])
def test_a_file_that_changed_is_read_again(change, tmp_path, reads):
    path = put(tmp_path / "a.txt", "one")
    before = path.stat()
    content_hash(path)
    new = "three" if change == "size" else "two"
    if change == "another file in its place":
        os.replace(put(tmp_path / "b.txt", new), path)
    else:
        put(path, new)
    if change == "same size and time":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert content_hash(path) == sha(new)
    assert reads == ["a.txt", "a.txt"]


def test_a_file_that_was_changed_just_now_is_read_each_time(tmp_path, reads, monkeypatch):
    monkeypatch.setattr(hashes, "SETTLED", 10**12)
    path = put(tmp_path / "a.txt", "one")
    assert content_hash(path) == content_hash(path) == sha("one")
    assert reads == ["a.txt", "a.txt"]


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"seen": 1}', '{"seen": null, "sha256": 3}'])
def test_a_note_that_is_damaged_is_not_trusted(damage, tmp_path):
    path = put(tmp_path / "a.txt", "one")
    content_hash(path)
    (note,) = (tmp_path / "cache" / "dragoman" / "hashes").iterdir()
    note.write_text(damage)
    assert content_hash(path) == sha("one")


def test_without_a_place_for_notes_it_only_takes_longer(tmp_path, reads, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", put(tmp_path / "in the way", ""))
    path = put(tmp_path / "a.txt", "one")
    assert content_hash(path) == content_hash(path) == sha("one")
    assert reads == ["a.txt", "a.txt"]


def test_a_file_that_is_not_there_is_the_users_to_mend(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        content_hash(tmp_path / "none")
