"""Compressed files, by the end of their names: `.gz`, `.xz` and `.zst`, read as they are unpacked."""

import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

SUFFIXES = (".gz", ".xz", ".zst")
TOOLS = {".gz": "gzip", ".xz": "xz", ".zst": "zstd"}  # by which a user can test a file
PORTION = 1024  # packed bytes at a time: at most some 30 MiB unpacked


class Damaged(Exception):
    """Packed data that are cut short or not what their name says."""


def unpack(stream: BinaryIO, suffix: str) -> BinaryIO:
    """The stream, unpacked if the suffix is one of `SUFFIXES`; reading it raises `Damaged`."""
    if suffix == ".gz":
        return cast(BinaryIO, io.BufferedReader(Guarded(gzip.GzipFile(fileobj=stream))))
    if suffix == ".xz":
        return cast(BinaryIO, io.BufferedReader(Guarded(lzma.LZMAFile(stream))))
    if suffix == ".zst":
        return cast(BinaryIO, io.BufferedReader(ZstdReader(stream)))
    return stream


@contextmanager
def pack(stream: BinaryIO, suffix: str) -> Iterator[BinaryIO]:
    """A stream to write to; equal bytes give equal files."""
    packed: Any = stream
    if suffix == ".gz":
        packed = gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0)  # no name and no time in the header
    elif suffix == ".xz":
        packed = lzma.LZMAFile(stream, "wb")  # noqa: SIM115 (closed below, which leaves `stream` open)
    elif suffix == ".zst":
        import zstandard  # here: most never need it

        packed = zstandard.ZstdCompressor().stream_writer(stream, closefd=False)
    yield packed
    if packed is not stream:
        packed.close()


class Guarded(io.RawIOBase):
    """A reader of the standard library's, whose several errors become one."""

    def __init__(self, packed: Any) -> None:
        super().__init__()
        self.packed = packed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            found = self.packed.read1(len(buffer))  # no more than it has: what comes before the damage is good
        except (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError) as error:
            raise Damaged(str(error)) from error
        buffer[: len(found)] = found
        return len(found)


class ZstdReader(io.RawIOBase):
    """Zstandard frames one after the other. The library's own reader takes the end of a cut file for its end."""

    def __init__(self, packed: BinaryIO) -> None:
        import zstandard  # here: most never need it

        super().__init__()
        self.packed = packed
        self.error = zstandard.ZstdError
        self.make = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj
        self.frame = self.make()
        self.begun = False
        self.ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.ready:
            portion = self.packed.read(PORTION)
            if not portion and self.begun:
                raise Damaged("the last frame is cut short")
            if not portion:
                return 0
            self.ready = self._unpacked(portion)
        size = min(len(buffer), len(self.ready))
        buffer[:size], self.ready = self.ready[:size], self.ready[size:]
        return size

    def _unpacked(self, portion: bytes) -> bytes:
        found = b""
        try:
            while portion:
                self.begun = True
                found += self.frame.decompress(portion)
                portion = b""
                if self.frame.eof:
                    portion, self.frame, self.begun = self.frame.unused_data, self.make(), False
        except self.error as error:
            raise Damaged(str(error)) from error
        return found
