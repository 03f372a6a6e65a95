"""The ``.eval`` container of Inspect AI: a zip whose members are stored, deflated or zstd-compressed (method 93)."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import zstandard

from irt_bench.errors import ReadError
from irt_bench.responses.formats.jsonlines import MAX_JSON_BYTES, first_line, parse_json

ZSTD: Final = 93  # zip compression method; the standard library reads it from Python 3.14 on
LOCAL_HEADER_BYTES: Final = 30
MAX_MEMBER_BYTES: Final = MAX_JSON_BYTES  # decompressed; summaries of 500,000 samples take as much
MAX_ARCHIVE_BYTES: Final = 2**29  # decompressed, of all members that are read
MAX_MEMBERS: Final = 500_000
DAMAGED: Final = (
    OSError,
    EOFError,
    NotImplementedError,  # a compression method, or a version of the container
    RuntimeError,  # an encrypted member
    OverflowError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    zstandard.ZstdError,
)


class EvalArchive:
    """An open ``.eval`` file.

    Raises
    ------
    ReadError
        On opening or reading, if the file is no such archive, is cut off or damaged, or would unpack too large.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._left = MAX_ARCHIVE_BYTES
        try:
            self._raw = path.open("rb")
        except OSError as error:
            raise ReadError(f"{path} cannot be read: {error.strerror}.") from error
        try:
            self._zip = zipfile.ZipFile(self._raw)
        except (*DAMAGED, ValueError) as error:
            self._raw.close()
            reason = first_line(error)
            raise ReadError(f"{path} cannot be read as an Inspect log: {reason}. Was the file cut off?") from error
        if len(self._zip.infolist()) > MAX_MEMBERS:
            raise ReadError(f"{path} has more than {MAX_MEMBERS:,} members; this is no Inspect log.")

    def __enter__(self) -> EvalArchive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()
        self._raw.close()

    def names(self) -> list[str]:
        """Names of the members, in the order of the archive."""
        return self._zip.namelist()

    def json(self, name: str) -> Any:
        """Read a member that is JSON."""
        try:
            return parse_json(self._bytes(self._zip.getinfo(name)))
        except ValueError as error:
            raise ReadError(f"{self.path}: member {name!r} is not JSON ({first_line(error)}).") from error

    def _bytes(self, member: zipfile.ZipInfo) -> bytes:
        try:
            content = self._unzstd(member) if member.compress_type == ZSTD else self._inflate(member)
        except (*DAMAGED, ValueError) as error:
            raise ReadError(
                f"{self.path}: member {member.filename!r} cannot be unpacked: {first_line(error)}."
            ) from error
        if len(content) > MAX_MEMBER_BYTES:
            raise ReadError(f"{self.path}: member {member.filename!r} unpacks to more than {MAX_MEMBER_BYTES:,} bytes.")
        self._left -= len(content)
        if self._left < 0:
            raise ReadError(f"{self.path}: its members unpack to more than {MAX_ARCHIVE_BYTES:,} bytes.")
        return content

    def _inflate(self, member: zipfile.ZipInfo) -> bytes:
        with self._zip.open(member) as stream:
            return stream.read(MAX_MEMBER_BYTES + 1)

    def _unzstd(self, member: zipfile.ZipInfo) -> bytes:
        self._raw.seek(member.header_offset)
        header = self._raw.read(LOCAL_HEADER_BYTES)
        name_bytes, extra_bytes = (int.from_bytes(header[start : start + 2], "little") for start in (26, 28))
        self._raw.seek(name_bytes + extra_bytes, 1)
        packed = self._raw.read(member.compress_size)
        with zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) as stream:
            content = stream.read(MAX_MEMBER_BYTES + 1)
        if len(content) <= MAX_MEMBER_BYTES and zlib.crc32(content) != member.CRC:
            raise zipfile.BadZipFile("checksum differs")
        return content
