"""What a file may claim and reach, looked at before it is read.

A file that someone else wrote can name other files of this machine, and a small one can claim more memory
than there is. HDF5 has three ways to the first (external links, external storage, virtual datasets), filters
that load code, and four ways to the second: a large shape, a chunk that unpacks to far more than it says,
texts of any length that many elements share, and a maze of objects. Whatever is read here keeps its bytes to
itself and fits into memory, or it is refused. The walk follows no link but the hard ones, along which
everything in a file can be reached. Other formats have their gates in `engine.reading.headers` and, where
they are packed, in `engine.reading.unpacking`.
"""

from __future__ import annotations

import functools
import math
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from engine import READING
from engine.values import Invalid, brief

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MOST_CELLS = 10**8  # 0.4 GB in single precision
MOST_BYTES = 8 * 10**9
MOST_CHUNK = 2**29  # bytes that are unpacked at once
MOST_OBJECTS = 10_000  # a volume of twelve sweeps of ten quantities has some five hundred
MOST_TOLD = 2**24  # bytes of one attribute
MOST_TEXT = 2**26  # bytes of all texts of a variable
# Rain maps unpack to some 30 times their size; what is small enough may be as empty as it likes.
MOST_RATIO, SMALL_BYTES = 200, 2**28
DEFLATE, FLETCHER32 = 1, 3
DEFLATES = 1032  # times; no deflated byte unpacks to more
FILTERS = {DEFLATE: "deflate", 2: "shuffle", FLETCHER32: "fletcher32", 4: "szip", 5: "nbit"}
FILTERS |= {6: "scaleoffset", 32000: "lzf"}


def is_hdf5(path: Path) -> bool:
    if path.is_dir():
        return False
    with path.open("rb") as stream:
        return stream.read(8) == SIGNATURE


def fits(shape: Sequence[int], where: str) -> None:
    """Refuse what has more cells than can be worked with."""
    if math.prod(shape) > MOST_CELLS:
        told = " x ".join(map(str, shape))
        raise Invalid(f"{where}: {told} cells are too many; cut or coarsen it to {MOST_CELLS:.0e} in all")


def fits_bytes(claimed: int, where: str) -> None:
    if claimed > MOST_BYTES:
        raise Invalid(f"{where}: claims {claimed / 1e9:.0f} GB; cut it to {MOST_BYTES / 1e9:.0f} GB or less")


def fits_chunk(claimed: int, where: str) -> None:
    if claimed > MOST_CHUNK:
        raise Invalid(
            f"{where}: is packed in pieces of {claimed / 1e6:.0f} MB; repack it in pieces of "
            f"{MOST_CHUNK / 1e6:.0f} MB or less"
        )


def guarded(path: Path) -> None:
    """Refuse an HDF5 file that reaches beyond itself, or claims more than it can hold."""
    about = path.stat()
    _guarded(path, about.st_size, about.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _guarded(path: Path, size: int, changed: int) -> None:
    """The same, once for a file that several readers look at."""
    with READING, h5py.File(path) as file:
        claimed = sum(_claimed(each, size, str(path)) for each in _datasets(file, str(path)))
    fits_bytes(claimed, str(path))
    if claimed > max(SMALL_BYTES, MOST_RATIO * size):
        raise Invalid(f"{path}: claims {claimed / 1e6:.0f} MB in a small file; store what is known only")


def _datasets(file: h5py.File, where: str) -> Iterator[h5py.Dataset]:
    waiting, seen, links = [file["/"]], set(), 0
    while waiting:
        found = waiting.pop()
        if found in seen:  # the same object by another name
            continue
        seen.add(found)
        _attributes(found, where)
        if isinstance(found, h5py.Dataset):
            yield found
        elif isinstance(found, h5py.Group):
            links += len(found)
            if links > MOST_OBJECTS:
                raise Invalid(f"{where}: holds more than {MOST_OBJECTS} objects; split it")
            waiting.extend(_members(found, where))


def _members(group: h5py.Group, where: str) -> Iterator[Any]:
    for name in group:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise Invalid(
                f"{where}: {_said(name)} is a link to another file; copy what it names into this one"
            )
        if isinstance(link, h5py.HardLink):
            yield group[name]


def _attributes(found: h5py.HLObject, where: str) -> None:
    """Refuse an attribute that is a table of its own, or that multiplies a text."""
    for number in range(h5py.h5a.get_num_attrs(found.id)):
        one = h5py.h5a.open(found.id, index=number)
        count = math.prod(one.shape or ())
        kind = one.get_type()
        shared = kind.detect_class(h5py.h5t.VLEN) or (
            isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str()
        )
        if (shared and count > 1000) or count * kind.get_size() > MOST_TOLD:
            told = f"{_said(found.name)} has {count} values in its attribute {_said(one.name)}"
            raise Invalid(f"{where}: {told}; store them as a variable")


def _claimed(dataset: h5py.Dataset, size: int, where: str) -> int:
    """The bytes of a dataset as it says, if they are its own."""
    name = _said(dataset.name)
    if dataset.is_virtual or dataset.external:
        raise Invalid(f"{where}: {name} keeps its values in another file; copy them into this one")
    plan = dataset.id.get_create_plist()
    used = [plan.get_filter(number)[0] for number in range(plan.get_nfilters())]
    if strange := set(used) - set(FILTERS):
        known = ", ".join(FILTERS.values())
        raise Invalid(f"{where}: {name} is packed by filter {min(strange)}; repack it with {known}")
    if h5py.check_ref_dtype(dataset.dtype) is not None:
        raise Invalid(f"{where}: {name} holds references instead of values; store the values themselves")
    cells = math.prod(dataset.shape or ())  # numpy's own product would overflow to little
    if dataset.dtype.hasobject:
        return _texts(dataset, cells, size, where)
    if dataset.chunks:
        piece = math.prod(dataset.chunks) * dataset.dtype.itemsize
        fits_chunk(piece, f"{where}: {name}")
        _honest(dataset, used, piece, where)
    return cells * dataset.dtype.itemsize


def _texts(dataset: h5py.Dataset, cells: int, size: int, where: str) -> int:
    """The bytes of texts of any length, read in parts: many of them may share one that fills the file."""
    name, total = _said(dataset.name), 0
    if h5py.check_string_dtype(dataset.dtype) is None:
        raise Invalid(f"{where}: {name} holds lists of any length; store them as plain variables")
    if not cells:
        return 0
    if dataset.ndim != 1:
        if cells * size > SMALL_BYTES and cells > 1:
            raise Invalid(f"{where}: {name} holds texts in a table; store them with a fixed length")
        parts = iter([np.ravel(np.asarray(dataset[()], object))])
    else:
        step = max(1, MOST_TEXT // size)
        if cells / step > 20_000:
            raise Invalid(f"{where}: {name} holds {cells} texts; store them with a fixed length")
        parts = (dataset[at : at + step] for at in range(0, cells, step))
    for part in parts:
        total += sum(len(each) for each in part)
        if total > MOST_TEXT:
            raise Invalid(f"{where}: {name} holds texts of more than {MOST_TEXT / 1e6:.0f} MB; shorten them")
    return total


def _honest(dataset: h5py.Dataset, used: Sequence[int], piece: int, where: str) -> None:
    """Refuse chunks that unpack to more than the dataset says: the deflate filter takes all the memory that
    a stream asks for."""
    name = _said(dataset.name)
    if DEFLATE in used and [each for each in used[used.index(DEFLATE) + 1 :] if each != FLETCHER32]:
        raise Invalid(f"{where}: {name} is packed again after it was deflated; repack it once")
    large: list[tuple[int, ...]] = []

    def look(about: h5py.h5d.StoreInfo) -> None:
        if about.size > 1.1 * piece + 4096:
            raise Invalid(f"{where}: {name} has pieces that are larger packed than unpacked; repack it")
        if DEFLATE in used and about.size * DEFLATES > 2 * max(MOST_CHUNK, piece):
            large.append(about.chunk_offset)

    dataset.id.chunk_iter(look)
    for offset in large:
        mask, packed = dataset.id.read_direct_chunk(offset)
        last = [each for number, each in enumerate(used) if not mask >> number & 1][-1:]
        if last == [FLETCHER32]:
            packed = packed[:-4]
        if _unpacks_beyond(packed, piece):
            raise Invalid(
                f"{where}: {name} has pieces that unpack to more than they say; it is no honest file"
            )


def _unpacks_beyond(packed: bytes, most: int) -> bool:
    stream, count = zlib.decompressobj(), 0
    while packed and not stream.eof and count <= most:
        try:
            count += len(stream.decompress(packed, 2**20))
        except zlib.error:  # not deflated, or damaged: the library will say so
            return False
        packed = stream.unconsumed_tail
    return count > most


def _said(name: str | bytes | None) -> str:
    """A name from a file, short enough for a line."""
    return brief(name)[1:-1]
