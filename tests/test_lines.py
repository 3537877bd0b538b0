"""Laws of `dragoman.text.lines`: a line ends at a line feed alone, nothing is lost, and every error names its line."""

import gzip
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dragoman.errors import InputError
from dragoman.text.lines import decode_lines, read_lines, read_parallel, write_lines

ODD = [
    "line\u2028separator\u2029paragraph",
    "next\x85line",
    "form\x0cfeed, vertical\x0btab",
    "file\x1cgroup\x1drecord\x1eunit",
    "carriage\rreturn",
    "tab\tand  spaces  ",
    "",
    "quotes \" ' « »",
    "emoji 👩‍👩‍👧 and e\u0301",
    "a mark \ufeff inside",
    "NA",
]


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["plain.txt", "packed.txt.gz"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False], ids=["ended", "unended"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["bare", "bom"])
def test_lines_end_at_line_feeds_alone(tmp_path: Path, name: str, end: str, last: bool, mark: str) -> None:
    text = mark + end.join(ODD) + (end if last else "")
    assert list(read_lines(put(tmp_path / name, text.encode()))) == ODD
    assert len(text.splitlines()) > len(ODD), "this text could not tell the two laws apart"


@pytest.mark.parametrize(("data", "expected"), [(b"", []), (b"\n", [""]), (b"a\n\n", ["a", ""]), (b"a\r\r\n", ["a\r"])])
def test_edges(data: bytes, expected: list[str]) -> None:
    assert list(decode_lines(io.BytesIO(data), "standard input")) == expected


@pytest.mark.parametrize("name", ["out.txt", "out.txt.gz"])
def test_what_is_written_is_read(tmp_path: Path, name: str) -> None:
    write_lines(tmp_path / name, iter(ODD))
    assert list(read_lines(tmp_path / name)) == ODD
    assert os.listdir(tmp_path) == [name]
    if name == "out.txt":
        assert (tmp_path / name).read_bytes() == ("\n".join(ODD) + "\n").encode()


def test_equal_lines_are_written_as_equal_bytes(tmp_path: Path) -> None:
    write_lines(tmp_path / "one.gz", ODD)
    write_lines(tmp_path / "two.gz", ODD)
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()


def test_reading_is_lazy() -> None:
    stream = io.BytesIO(b"good\n\xff\n")
    lines = decode_lines(stream, "standard input")
    assert next(lines) == "good"
    with pytest.raises(InputError):
        next(lines)


def cut_short(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)[:-9]


@pytest.mark.parametrize(
    ("name", "data", "parts"),
    [
        ("latin.txt", b"fine\ncaf\xe9\n", ["latin.txt, line 2", "byte 4", "0xE9", "iconv -f LATIN1"]),
        ("wide.txt", "wide\n".encode("utf-16"), ["wide.txt, line 1", "byte 1", "0xFF", "iconv -f UTF-16"]),
        ("surrogate.txt", b"\xed\xa0\x80\n", ["surrogate.txt, line 1", "0xED"]),
        ("short.gz", cut_short(b"one\ntwo\n"), ["short.gz, line", "gzip", "damaged"]),
        ("fake.gz", b"not compressed\n", ["fake.gz, line 1", "gzip", "damaged"]),
        ("garbage.gz", gzip.compress(b"one\n", mtime=0) + b"garbage", ["garbage.gz, line 2", "gzip"]),
        ("broken.gz", gzip.compress(b"x", mtime=0)[:10] + b"\xff" * 20, ["broken.gz, line 1", "gzip"]),
    ],
)
def test_bad_bytes_name_their_line(tmp_path: Path, name: str, data: bytes, parts: list[str]) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError) as caught:
        list(read_lines(tmp_path / name))
    assert [part for part in parts if part not in str(caught.value)] == []
    assert "\n" not in str(caught.value)


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.txt does not exist.*relative ones start at"):
        list(read_lines(tmp_path / "none.txt"))
    with pytest.raises(InputError, match=r"is a folder"):
        list(read_lines(tmp_path))
    with pytest.raises(InputError, match="cannot be read"):
        list(read_lines(put(tmp_path / "file", b"") / "below"))


def test_parallel_lines(tmp_path: Path) -> None:
    source, target = put(tmp_path / "a.en", b"one\ntwo\n"), put(tmp_path / "a.fr.gz", b"un\r\ndeux")
    assert list(read_parallel(source, target)) == [("one", "un"), ("two", "deux")]


@pytest.mark.parametrize(("ours", "theirs"), [(5, 3), (3, 5), (1, 0), (0, 2)])
def test_unequal_files_name_both_counts(tmp_path: Path, ours: int, theirs: int) -> None:
    source, target = put(tmp_path / "a.en", b"x\n" * ours), put(tmp_path / "a.fr", b"y\n" * theirs)
    with pytest.raises(InputError, match=rf"a\.en has {ours} lines and .*a\.fr has {theirs},"):
        list(read_parallel(source, target))


def test_a_failed_write_changes_nothing(tmp_path: Path) -> None:
    path = put(tmp_path / "out.txt", b"before\n")

    def lines():
        yield "after"
        raise InputError("the source broke")

    with pytest.raises(InputError, match="the source broke"):
        write_lines(path, lines())
    for bad, reason in (("two\nlines", "line feed"), ("half \ud800", "half a character")):
        with pytest.raises(InputError, match=rf"out\.txt, line 2: .*{reason}"):
            write_lines(path, ["fine", bad])
    assert path.read_bytes() == b"before\n"
    assert os.listdir(tmp_path) == ["out.txt"]


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="folder or a device"):
        write_lines(tmp_path, ["x"])
    # os.replace would turn the null device into a file, given the right to.
    with pytest.raises(InputError, match="folder or a device"):
        write_lines("/dev/null", ["x"])
    with pytest.raises(InputError, match=r"out\.txt cannot be written \(No such file or directory\)"):
        write_lines(tmp_path / "none" / "out.txt", ["x"])


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = put(tmp_path / "real.txt", b"old\n"), tmp_path / "link.txt"
    link.symlink_to(real)
    write_lines(link, ["new"])
    assert link.is_symlink()
    assert real.read_bytes() == b"new\n"


def test_only_the_standard_library_is_loaded() -> None:
    code = (
        "import sys, dragoman.text.lines; print(sorted({'datasets', 'pyarrow', 'numpy', 'torch'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert result.stdout == "[]\n"
