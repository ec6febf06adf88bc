"""What files other than HDF5 claim, looked at before they are read: NetCDF-3, Zarr and NumPy's archives.

A NetCDF-3 file says in its header where each variable lies; a damaged one opens all the same, and gives
whatever stands there. A Zarr store is a folder: a link in it may lead anywhere, and its metadata name the
code that unpacks a chunk, among it Python's pickle, which runs whatever the chunk says. The format of a file
is known by its first bytes; what is of none of these formats has nothing to be looked at here.
"""

from __future__ import annotations

import json
import math
import os
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from engine.reading.guard import fits_bytes, fits_chunk, guarded, is_hdf5
from engine.reading.unpacking import BROKEN, bounded, damaged
from engine.values import Invalid, brief

NETCDF3 = {b"CDF\x01": ">I", b"CDF\x02": ">Q"}  # and how each writes an offset
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8}  # bytes of NetCDF-3's types
DIMENSIONS, VARIABLES, ATTRIBUTES = 10, 11, 12
ZARR = ("zarr.json", ".zgroup", ".zarray")
METADATA = (*ZARR, ".zattrs", ".zmetadata")
MOST_METADATA = 2**26  # bytes
MOST_FILES = 10**6
CODECS = {
    "bytes",
    "transpose",
    "sharding_indexed",
    "crc32c",
    "vlen-utf8",
    "vlen-bytes",
    "blosc",
    "gzip",
    "zstd",
}
CODECS |= {"zlib", "bz2", "lzma", "lz4", "shuffle", "delta", "fixedscaleoffset", "scale_offset", "cast_value"}
CODECS |= {"packbits", "bitround", "quantize", "crc32", "adler32", "fletcher32", "jenkins_lookup3"}


def looked_at(path: Path) -> None:
    """Refuse a file that reaches beyond itself or claims what it cannot hold."""
    if path.is_dir():
        if is_zarr(path):
            zarr(path)
    elif is_hdf5(path):
        guarded(path)
    else:
        with path.open("rb") as stream:
            begin = stream.read(4)
        if begin in NETCDF3:
            netcdf3(path)
        elif begin == b"PK\x03\x04":
            bounded(path)


def is_zarr(path: Path) -> bool:
    return path.is_dir() and any((path / name).exists() for name in ZARR)


def netcdf3(path: Path) -> None:
    """Refuse a NetCDF-3 file whose variables do not lie in it as its header says."""
    content = path.stat().st_size
    with path.open("rb") as stream:
        header = Header(stream.read(min(content, MOST_METADATA)), str(path))
    try:
        ends = header.read()
    except (struct.error, IndexError, KeyError):
        raise Invalid(f"{path}: its NetCDF-3 header is cut off or damaged; fetch it again") from None
    # The last of single records may go without its padding.
    if ends > content + 3:
        told = f"says that it has {ends} bytes and has {content}"
        raise Invalid(f"{path}: {told}; it is cut off or damaged, fetch it again")
    fits_bytes(ends, str(path))


class Header:
    """A NetCDF-3 header, read as far as is needed to know where the variables end."""

    def __init__(self, content: bytes, where: str) -> None:
        self.content, self.where, self.at = content, where, 4
        self.offset = NETCDF3[content[:4]]

    def read(self) -> int:
        """The bytes that the file must have."""
        records = self.take(">I")
        if records == 2**32 - 1:  # still being written
            records = 0
        lengths = [self.dimension() for _ in self.table(DIMENSIONS)]
        self.attributes()
        ends, rows, first = self.at, [], []
        for _ in self.table(VARIABLES):
            dimensions, size, begin = self.variable(len(lengths))
            shape = [lengths[each] for each in dimensions]
            if 0 in shape[1:]:
                raise IndexError  # only the first may grow
            if shape and not shape[0]:
                rows.append(math.prod(shape[1:]) * size)
                first.append(begin)
            else:
                ends = max(ends, begin + math.prod(shape) * size)
        if len(rows) > 1:  # one alone stands without padding
            rows = [(each + 3) // 4 * 4 for each in rows]
        return max(ends, min(first) + records * sum(rows)) if first else ends

    def variable(self, known: int) -> tuple[list[int], int, int]:
        """Its dimensions, the size of a value, and where it begins."""
        self.name()
        dimensions = [self.take(">I") for _ in range(self.count())]
        if dimensions and max(dimensions) >= known:
            raise IndexError
        self.attributes()
        size = SIZES[self.take(">I")]
        self.take(">I")  # its size as the header says; computed here
        return dimensions, size, self.take(self.offset)

    def dimension(self) -> int:
        self.name()
        return self.take(">I")

    def attributes(self) -> None:
        for _ in self.table(ATTRIBUTES):
            self.name()
            size = SIZES[self.take(">I")]
            self.skip(size * self.take(">I"))

    def table(self, tag: int) -> range:
        found, count = self.take(">I"), self.count()
        if found != tag and (found or count):
            raise IndexError
        return range(count)

    def name(self) -> None:
        self.skip(self.count())

    def count(self) -> int:
        """A number of things that each take a byte at least of what is left."""
        count = self.take(">I")
        if count > len(self.content) - self.at:
            raise IndexError
        return count

    def take(self, form: str) -> int:
        (value,) = struct.unpack_from(form, self.content, self.at)
        self.at += struct.calcsize(form)
        return value

    def skip(self, size: int) -> None:
        self.at += (size + 3) // 4 * 4
        if self.at > len(self.content):
            raise IndexError


def zarr(path: Path) -> None:
    """Refuse a Zarr store that has links, strange codecs, or claims more than can be worked with."""
    files = 0
    for folder, inner, names in os.walk(path):
        files += len(names)
        if files > MOST_FILES:
            raise Invalid(f"{path}: has more than {MOST_FILES} files; pack it in larger chunks")
        for name in (*inner, *names):
            if os.path.islink(os.path.join(folder, name)):
                raise Invalid(f"{path}: {brief(name)} in it is a link; copy what it names into the store")
        for name in set(names) & set(METADATA):
            _metadata(Path(folder) / name, path)


def _metadata(file: Path, store: Path) -> None:
    if file.stat().st_size > MOST_METADATA:
        raise Invalid(f"{store}: {file.name} is too large; keep tables in arrays, not in attributes")
    try:
        told = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        raise Invalid(
            f"{store}: {file.relative_to(store)} is no JSON; it is damaged, copy it again"
        ) from None
    claimed = 0
    for one in _mappings(told):
        for codec in _codecs(one):
            if codec not in CODECS:
                raise Invalid(
                    f"{store}: is packed by {brief(codec)}, which is not read here; repack with zstd"
                )
        claimed += math.prod(_whole(one.get("shape")))  # of a byte a value at least
        fits_chunk(4 * math.prod(_whole(_pieces(one))), f"{store}: an array")
    fits_bytes(claimed, str(store))


def _mappings(told: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in a tree, but those that a user's attributes hold."""
    waiting = [told]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            yield found
            waiting += [value for key, value in found.items() if key != "attributes"]
        elif isinstance(found, list):
            waiting += found


def _codecs(one: dict[str, Any]) -> Iterator[Any]:
    for key in ("codecs", "index_codecs", "filters", "compressor", "compressors", "storage_transformers"):
        named = one.get(key) or []
        for each in named if isinstance(named, list) else [named]:
            yield (each.get("id") or each.get("name")) if isinstance(each, dict) else each


def _pieces(one: dict[str, Any]) -> Any:
    grid = one.get("chunk_grid")
    inner = grid.get("configuration") if isinstance(grid, dict) else None
    return inner.get("chunk_shape") if isinstance(inner, dict) else one.get("chunks")


def _whole(shape: Any) -> list[int]:
    """A shape, if it is one, else that of nothing."""
    able = isinstance(shape, list) and all(isinstance(each, int) and each >= 0 for each in shape)
    return shape if able else [0]


def arrays(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """The arrays of a NumPy archive (.npz): shape and type of each, without reading it. One that is pickled
    is refused, for unpickling runs whatever it says."""
    bounded(path)
    try:
        with zipfile.ZipFile(path) as file:
            found = {each.removesuffix(".npy"): _array(file, each) for each in file.namelist()}
    except BROKEN as error:
        raise error if isinstance(error, Invalid) else damaged(path, error) from None
    for name, (shape, kind) in found.items():
        if kind.hasobject:
            raise Invalid(f"{path}: {brief(name)} is pickled Python, which is never run; save plain arrays")
        fits_bytes(math.prod(shape) * kind.itemsize, str(path))
    return found


def _array(file: zipfile.ZipFile, member: str) -> tuple[tuple[int, ...], np.dtype]:
    with file.open(member) as stream:
        form = np.lib.format
        head = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}
        version = form.read_magic(stream)
        if version not in head:
            raise ValueError(f"{member} is of version {version} of NumPy's format")
        shape, _, kind = head[version](stream)
    return shape, kind
