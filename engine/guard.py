"""What a file may claim and reach, looked at before it is read.

A file that someone else wrote can name other files of this machine, and a small one can claim more memory
than there is. HDF5 has three ways to the first (external links, external storage, virtual datasets) and
filters that load code. Whatever is read here keeps its bytes to itself and fits into memory, or it is
refused. The walk follows no link but the hard ones, along which everything in a file can be reached.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py

from engine import READING
from engine.values import Invalid

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MOST_CELLS = 10**8  # 0.4 GB in single precision
MOST_BYTES = 8 * 10**9
# Rain maps unpack to some 30 times their size; what is small enough may be as empty as it likes.
MOST_RATIO, SMALL_BYTES = 200, 2**28
FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32", 4: "szip", 5: "nbit", 6: "scaleoffset", 32000: "lzf"}


def is_hdf5(path: Path) -> bool:
    if path.is_dir():
        return False
    with path.open("rb") as stream:
        return stream.read(8) == SIGNATURE


def has_table(path: Path, names: Sequence[str]) -> bool:
    """Whether one of these is a variable of two dimensions in an HDF5 file."""
    if not is_hdf5(path):
        return False
    guarded(path)
    with READING, h5py.File(path) as file:
        return any(getattr(file.get(name), "ndim", 0) == 2 for name in names)


def guarded(path: Path) -> None:
    """Refuse an HDF5 file that reaches beyond itself, or claims more than it can hold."""
    with READING, h5py.File(path) as file:
        claimed = sum(_claimed(each, str(path)) for each in _datasets(file, str(path)))
    fits_bytes(claimed, str(path))
    if claimed > max(SMALL_BYTES, MOST_RATIO * path.stat().st_size):
        raise Invalid(f"{path}: claims {claimed / 1e6:.0f} MB in a small file; store what is known only")


def fits(shape: Sequence[int], where: str) -> None:
    """Refuse what has more cells than can be worked with."""
    if math.prod(shape) > MOST_CELLS:
        told = " x ".join(map(str, shape))
        raise Invalid(f"{where}: {told} cells are too many; cut or coarsen it to {MOST_CELLS:.0e} in all")


def fits_bytes(claimed: int, where: str) -> None:
    if claimed > MOST_BYTES:
        raise Invalid(f"{where}: claims {claimed / 1e9:.0f} GB; cut it to {MOST_BYTES / 1e9:.0f} GB or less")


def _datasets(file: h5py.File, where: str) -> Iterator[h5py.Dataset]:
    waiting, seen = [file["/"]], set()
    while waiting:
        found = waiting.pop()
        if found in seen:  # the same object by another name
            continue
        seen.add(found)
        if isinstance(found, h5py.Dataset):
            yield found
        elif isinstance(found, h5py.Group):
            for name in found:
                link = found.get(name, getlink=True)
                if isinstance(link, h5py.ExternalLink):
                    raise Invalid(
                        f"{where}: {name} is a link to another file; copy what it names into this one"
                    )
                if isinstance(link, h5py.HardLink):
                    waiting.append(found[name])


def _claimed(dataset: h5py.Dataset, where: str) -> int:
    """The bytes of a dataset as it says, if they are its own."""
    if dataset.is_virtual or dataset.external:
        raise Invalid(f"{where}: {dataset.name} keeps its values in another file; copy them into this one")
    plan = dataset.id.get_create_plist()
    used = [plan.get_filter(number)[0] for number in range(plan.get_nfilters())]
    if strange := set(used) - set(FILTERS):
        known = ", ".join(FILTERS.values())
        raise Invalid(f"{where}: {dataset.name} is packed by filter {min(strange)}; repack it with {known}")
    return (dataset.size or 0) * dataset.dtype.itemsize
