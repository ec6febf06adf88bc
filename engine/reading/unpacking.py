"""Files that come packed: ZIP, gzip, bzip2 and xz, unpacked within bounds and never outside a folder.

A packed file may hold a thousand times what it weighs, a path that climbs out of the folder it is unpacked
into, or a link that leads there. So the unpacked bytes are counted while they come, whatever the file says of
them, and only plain files with plain paths are taken.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from engine.values import Invalid, brief

MOST_UNPACKED = 2 * 10**9  # bytes
MOST_MEMBERS = 10_000
PIECE = 2**20
STREAMS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
BROKEN = (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
BROKEN += (NotImplementedError, ValueError, RuntimeError)  # what these modules say of strange members


def plain(stream: IO[bytes]) -> IO[bytes]:
    """What a stream of gzip, bzip2 or xz holds; any other as it is."""
    mark = stream.read(6)
    stream.seek(0)
    opened = next((each for begin, each in STREAMS.items() if mark.startswith(begin)), None)
    return opened(stream) if opened else stream  # pyright: ignore[reportReturnType, reportArgumentType]


def beginning(path: Path, size: int) -> bytes:
    """The first bytes of a file, unpacked; nothing of a folder, or of what is cut off or damaged."""
    if path.is_dir():
        return b""
    with path.open("rb") as stream:
        try:
            return plain(stream).read(size)
        except BROKEN:
            return b""


def unpacked(path: Path, most: int = MOST_UNPACKED) -> bytes:
    """All of a file, unpacked."""
    with path.open("rb") as stream:
        return counted(stream, str(path), most)


def counted(stream: IO[bytes], where: str, most: int) -> bytes:
    """All of a stream, unpacked, and not more than so much."""
    parts, left = [], most  # read at once, it would take the memory of all that is allowed
    try:
        opened = plain(stream)
        while left >= 0 and (piece := opened.read(PIECE)):
            parts.append(piece)
            left -= len(piece)
    except BROKEN as error:
        raise damaged(where, error) from None
    if left < 0:
        raise _too_much(where, most)
    return b"".join(parts)


def unzipped(path: Path, into: Path, most: int = MOST_UNPACKED) -> list[Path]:
    """The files of a ZIP, in a folder; in order of name."""
    bounded(path, most)
    try:
        with zipfile.ZipFile(path) as file:
            members = ((each.filename, file.open(each)) for each in file.infolist() if not each.is_dir())
            return _written(path, members, into, most)
    except BROKEN as error:
        raise error if isinstance(error, Invalid) else damaged(path, error) from None


def bounded(path: Path, most: int = MOST_UNPACKED) -> None:
    """Refuse a ZIP by what its list says: a climbing path, a link, a password, too much."""
    try:
        with zipfile.ZipFile(path) as file:
            listed = file.infolist()
    except BROKEN as error:
        raise damaged(path, error) from None
    if len(listed) > MOST_MEMBERS:
        raise Invalid(f"{path}: holds {len(listed)} files; pack {MOST_MEMBERS} or fewer")
    if sum(each.file_size for each in listed) > most:
        raise _too_much(path, most)
    for each in listed:
        _plain(path, each.filename)
        if each.flag_bits & 1:
            raise Invalid(f"{path}: is locked with a password; unlock it first")
        if each.external_attr >> 16 & 0o170000 == 0o120000:
            raise Invalid(f"{path}: {brief(each.filename)} in it is a link; pack what it names")


def _written(path: Path, members: Iterator[tuple[str, IO[bytes]]], into: Path, most: int) -> list[Path]:
    found, left = [], most
    for name, stream in members:
        target = into / _plain(path, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        with stream, target.open("xb") as out:
            while piece := stream.read(min(PIECE, left + 1)):
                left -= len(piece)
                if left < 0:
                    break
                out.write(piece)
        found.append(target)
        if left < 0:
            for each in found:
                each.unlink()
            raise _too_much(path, most)
    return sorted(found)


def _plain(path: Path, name: str) -> PurePosixPath:
    """A path within a packed file that leads nowhere else."""
    said = PurePosixPath(name.replace("\\", "/"))
    elsewhere = said.is_absolute() or ".." in said.parts or PureWindowsPath(name).drive
    if elsewhere or not name.isprintable() or len(name) > 1000:
        raise Invalid(f"{path}: {brief(name)} in it would be written elsewhere; pack it with plain paths")
    return said


def _too_much(path: Path | str, most: int) -> Invalid:
    return Invalid(f"{path}: unpacks to more than {most / 1e6:.0f} MB; unpack it, and cut it, yourself")


def damaged(path: Path | str, error: Exception) -> Invalid:
    return Invalid(f"{path}: cannot be unpacked, it may be damaged ({type(error).__name__}); fetch it again")
