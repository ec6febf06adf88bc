"""Two hundred inputs that are wrong, made from a seed: broken, hostile, or untrue.

Each kind is a function from a folder and a random generator to a path. What must come of it is its ``end``:
*refused* in one line; *told*: refused, or read with a note or a warning; *borne*: the format has no checksum,
so that a changed byte may pass for a value, but nothing worse may happen.
"""

from __future__ import annotations

import functools
import io
import json
import os
import random
import struct
import sys
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pandas as pd
import xarray as xr
from scipy.io import netcdf_file

Make = Callable[[Path, random.Random], Path]
KINDS: dict[str, tuple[str, int, Make]] = {}
TIMES = pd.date_range("2020-07-01T01", periods=4, freq="1h")
HEAD = "time,gauge,lat,lon,rainfall_amount\n"


class Malformed(NamedTuple):
    kind: str
    end: str
    path: Path


def made(folder: Path, seed: int = 0) -> list[Malformed]:
    """All of them, each in a folder of its own."""
    found = []
    for kind, (end, count, make) in KINDS.items():
        for number in range(count):
            place = folder / kind.replace(" ", "-") / str(number)
            place.mkdir(parents=True)
            found.append(Malformed(kind, end, make(place, random.Random(f"{seed}/{kind}/{number}"))))
    return found


def kind(name: str, end: str = "refused", count: int = 3) -> Callable[[Make], Make]:
    def register(make: Make) -> Make:
        KINDS[name] = end, count, make
        return make

    return register


# Sound ones, to be spoilt


def field(draw: random.Random) -> xr.Dataset:
    values = np.random.default_rng(draw.randrange(2**32)).gamma(0.3, 3, (4, 6, 8)).astype("f4")
    axes = {"time": TIMES, "lat": 30 + 0.25 * np.arange(6), "lon": 110 + 0.25 * np.arange(8)}
    return xr.Dataset({"rain": (("time", "lat", "lon"), values, {"units": "mm h-1"})}, axes)


def netcdf(path: Path, whole: xr.Dataset) -> Path:
    whole.to_netcdf(path, engine="h5netcdf")
    return path


def netcdf3(path: Path, draw: random.Random) -> Path:
    whole = field(draw)
    with netcdf_file(path, "w") as file:
        for name, size in (("time", None), ("lat", 6), ("lon", 8)):
            file.createDimension(name, size)
            axis = file.createVariable(name, "d", (name,))
            axis[:] = np.arange(4.0) if name == "time" else whole[name].values
        file.variables["time"].units = "hours since 2020-07-01 01:00"
        rain = file.createVariable("rain", "f", ("time", "lat", "lon"))
        rain[:], rain.units = whole.rain.values, "mm h-1"
    return path


def grib(path: Path, draw: random.Random) -> Path:
    from tests.engine.test_readers import message

    tenths = np.random.default_rng(draw.randrange(2**32)).integers(0, 300, (6, 8))
    path.write_bytes(message(tenths / 10))
    return path


def geotiff(path: Path) -> Path:
    import rasterio
    from rasterio.transform import from_origin

    profile = {"driver": "GTiff", "height": 5, "width": 6, "count": 2, "dtype": "float32"}
    place = from_origin(10, 50, 0.1, 0.1)
    with rasterio.open(path, "w", crs="EPSG:4326", transform=place, **profile) as file:
        file.write(np.ones((2, 5, 6), "f4"))
        file.units = ("mm/h", "mm/h")
        for band, when in ((1, "2020-07-01T01:00:00"), (2, "2020-07-01T02:00:00")):
            file.set_band_description(band, f"{when} UTC, end of interval")
    return path


def zarr(path: Path, draw: random.Random) -> Path:
    form = draw.choice([2, 3])
    field(draw).to_zarr(path, zarr_format=form, consolidated=form == 2)  # pyright: ignore[reportCallIssue]
    return path


def cut(path: Path, draw: random.Random) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: draw.randrange(9, len(content) - 8)])
    return path


def flipped(path: Path, draw: random.Random, first: int = 0, last: int | None = None) -> Path:
    content = bytearray(path.read_bytes())
    for _ in range(8):
        content[draw.randrange(first, last or len(content))] = draw.randrange(256)
    path.write_bytes(content)
    return path


# Broken


@kind("truncated NetCDF-4", count=20)
def _(folder, draw):
    return cut(netcdf(folder / "x.nc", field(draw)), draw)


@kind("changed NetCDF-4", "borne", count=20)
def _(folder, draw):
    return flipped(netcdf(folder / "x.nc", field(draw)), draw)


@kind("truncated NetCDF-3", count=8)
def _(folder, draw):
    return cut(netcdf3(folder / "x.nc", draw), draw)


@kind("changed NetCDF-3 header", "borne", count=10)
def _(folder, draw):
    return flipped(netcdf3(folder / "x.nc", draw), draw, 4, 300)


@kind("NetCDF-3 of terabytes", count=2)
def _(folder, draw):
    path = netcdf3(folder / "x.nc", draw)
    content = path.read_bytes()
    path.write_bytes(content[:4] + struct.pack(">I", draw.randrange(2**30, 2**31)) + content[8:])
    return path


@kind("truncated GRIB", count=8)
def _(folder, draw):
    return cut(grib(folder / "x.grib2", draw), draw)


@kind("changed GRIB", "borne", count=12)
def _(folder, draw):
    return flipped(grib(folder / "x.grib2", draw), draw, 8)


@kind("truncated GeoTIFF", count=6)
def _(folder, draw):
    return cut(geotiff(folder / "x.tif"), draw)


@kind("changed GeoTIFF", "borne", count=6)
def _(folder, draw):
    return flipped(geotiff(folder / "x.tif"), draw, 4)


@kind("nothing")
def _(folder, draw):
    path = folder / draw.choice(["x.nc", "x.grib2", "x.csv", "x.zip"])
    path.write_bytes(b"\0" * draw.choice([0, 0, 1, 5000]))
    return path


@kind("another ending", count=6)
def _(folder, draw):
    path = folder / draw.choice(["x.nc", "x.grib", "x.tif", "x.csv", "x.h5"])
    png = b"\x89PNG\r\n\x1a\n" + draw.randbytes(200)
    path.write_bytes(
        draw.choice([png, b"%PDF-1.7\n", b"<html>404</html>\n", b"\x7fELF" + draw.randbytes(60)])
    )
    return path


@kind("a name with control characters", count=4)
def _(folder, draw):
    path = folder / draw.choice(["a\nb.nc", "\x1b[31mred.nc", "a\rb\t.nc", "\u202eevil.nc"])
    return cut(netcdf(path, field(draw)), draw)


# Untrue


@kind("no rain's unit", count=6)
def _(folder, draw):
    whole = field(draw)
    whole.rain.attrs["units"] = draw.choice(["K", "inches per fortnight", "dBZ?", "%", "furlong"])
    return netcdf(folder / "x.nc", whole)


@kind("no unit", "told")
def _(folder, draw):
    whole = field(draw)
    del whole.rain.attrs["units"]
    return netcdf(folder / "x.nc", whole)


@kind("axes that are swapped")
def _(folder, draw):
    return netcdf(folder / "x.nc", field(draw).rename(lat="lon", lon="lat"))


@kind("duplicate times")
def _(folder, draw):
    return netcdf(folder / "x.nc", field(draw).isel(time=[0, 1, 1, 2]))


@kind("times with a gap", "told")
def _(folder, draw):
    return netcdf(folder / "x.nc", field(draw).isel(time=[0, 1, 3]))


@kind("unsorted times", "borne")
def _(folder, draw):
    return netcdf(folder / "x.nc", field(draw).isel(time=draw.sample(range(4), 4)))


@kind("a single time without an interval", "told")
def _(folder, draw):
    return netcdf(folder / "x.nc", field(draw).isel(time=[2]))


@kind("uneven cells")
def _(folder, draw):
    return netcdf(folder / "x.nc", field(draw).isel(lon=[0, 1, 2, 5, 7]))


@kind("every value missing", "told")
def _(folder, draw):
    return netcdf(folder / "x.nc", field(draw) * np.nan + field(draw) * 0 * np.nan)


@kind("every value zero", "told")
def _(folder, draw):
    whole = field(draw)
    whole.rain.values[:] = 0
    return netcdf(folder / "x.nc", whole)


@kind("negative rain", "told")
def _(folder, draw):
    whole = field(draw)
    whole.rain.values[:] -= draw.choice([0.5, 3, 9999])
    return netcdf(folder / "x.nc", whole)


@kind("absurd rain", "told")
def _(folder, draw):
    whole = field(draw)
    whole.rain.values[1, 2, 3] = draw.choice([500, 9999, 1e20])
    return netcdf(folder / "x.nc", whole)


@kind("infinite rain")
def _(folder, draw):
    whole = field(draw)
    whole.rain.values[1, 2, 3] = np.inf
    return netcdf(folder / "x.nc", whole)


@kind("millimetres a day as an hour", "told")
def _(folder, draw):
    whole = field(draw)
    whole = xr.concat(
        [whole.assign_coords(time=TIMES + pd.Timedelta(hours=4 * day)) for day in range(40)], "time"
    )
    whole.rain.values[:] = whole.rain.values * 24
    return netcdf(folder / "x.nc", whole)


# Hostile HDF5


def hdf5(fill: Callable[[h5py.File, random.Random], None]) -> Make:
    def make(folder: Path, draw: random.Random) -> Path:
        with h5py.File(folder / "secret.h5", "w") as file:
            file["x"] = np.full((2, 3), 42.0)
        with h5py.File(folder / "x.nc", "w") as file:
            fill(file, draw)
        return folder / "x.nc"

    return make


@kind("external link")
@hdf5
def _(file, draw):
    group = draw.choice([file, file.create_group("a")])
    group[draw.choice(["lat", "rain"])] = h5py.ExternalLink("secret.h5", "/x")


@kind("external storage")
@hdf5
def _(file, draw):
    file.create_dataset("rain", (2, 2), "f8", external=[(draw.choice(["secret.h5", "/etc/hostname"]), 0, 32)])


@kind("virtual dataset")
@hdf5
def _(file, draw):
    layout = h5py.VirtualLayout((2, 3), "f8")
    layout[:] = h5py.VirtualSource("secret.h5", "x", (2, 3))
    file.create_virtual_dataset("rain", layout)


@kind("HDF5 of terabytes")
@hdf5
def _(file, draw):
    size = draw.choice([(10**6, 10**6), (2**32, 2**32), (10**4, 10**5)])
    file.create_dataset("rain", size, "f4", chunks=(100, 100))


@kind("unknown filter")
@hdf5
def _(file, draw):
    number = draw.choice([32015, 32008, 305])
    file.create_dataset("rain", (2, 2), "f4", compression=number, allow_unknown_filter=True)


@kind("links in a circle", "told")
@hdf5
def _(file, draw):
    file["lat"], file["rain"] = h5py.SoftLink("/rain"), h5py.SoftLink("/lat")
    file.create_group("a")["b"] = file["/"]


@functools.cache
def bomb() -> bytes:
    """Zeros, 0.6 GB of them, deflated."""
    pack = zlib.compressobj(1)
    million = bytes(10**6)
    return b"".join(pack.compress(million) for _ in range(600)) + pack.flush()


@kind("a chunk that explodes", count=1)
@hdf5
def _(file, draw):
    rain = file.create_dataset("rain", (2000, 2000), "f8", chunks=(2000, 2000), compression="gzip")
    rain.id.write_direct_chunk((0, 0), bomb())


@kind("one text a thousand times", count=1)
def _(folder, draw):
    with h5py.File(folder / "x.nc", "w") as file:
        names = file.create_dataset("gauge", (10_000,), h5py.string_dtype())
        names[0] = "x" * 2**20
        begin = names.id.get_offset()
    with (folder / "x.nc").open("r+b") as stream:
        stream.seek(begin)
        first = stream.read(16)
        stream.seek(begin)
        stream.write(first * 10_000)
    return folder / "x.nc"


@kind("a maze", count=1)
@hdf5
def _(file, draw):
    for number in range(10_001):
        file[f"{number}"] = h5py.SoftLink("/x")


@kind("an attribute of tables", count=1)
@hdf5
def _(file, draw):
    file.attrs.create("names", ["a"] * 2000, dtype=h5py.string_dtype())


@kind("references", count=2)
@hdf5
def _(file, draw):
    file["x"] = 1.0
    file.create_dataset("rain", (3, 4), h5py.ref_dtype)[:] = file["x"].ref


# Hostile stores, archives and tables


@kind("a store that leads out", count=4)
def _(folder, draw):
    path = zarr(folder / "x.zarr", draw)
    (folder / "secret").write_text("42")
    chunks = [
        each for each in path.rglob("*") if each.is_file() and "rain" in each.parts and each.name[0] in "0c"
    ]
    if draw.random() < 0.5 and chunks:
        chunks[0].unlink()
        chunks[0].symlink_to(folder / "secret")
    else:
        (path / "beside").symlink_to(folder, target_is_directory=True)
    return path


@kind("a store that unpickles", count=2)
def _(folder, draw):
    path = folder / "x.zarr"
    field(draw).to_zarr(path, zarr_format=2, consolidated=draw.random() < 0.5)
    for name in (".zmetadata", "rain/.zarray"):
        if (path / name).exists():
            told = json.loads((path / name).read_text())
            array = told["metadata"]["rain/.zarray"] if "metadata" in told else told
            array["filters"], array["dtype"] = [{"id": "pickle"}], "|O"
            (path / name).write_text(json.dumps(told))
    return path


@kind("a store of terabytes", count=2)
def _(folder, draw):
    path = folder / "x.zarr"
    field(draw).to_zarr(path, zarr_format=3, consolidated=False)
    told = json.loads((path / "rain" / "zarr.json").read_text())
    told["shape"] = [4, 10**7, 10**7]
    if draw.random() < 0.5:
        told["chunk_grid"]["configuration"]["chunk_shape"] = [4, 10**5, 10**5]
    (path / "rain" / "zarr.json").write_text(json.dumps(told))
    return path


@kind("a store whose metadata are broken", count=4)
def _(folder, draw):
    path = zarr(folder / "x.zarr", draw)
    named = [each for each in path.rglob("*") if each.name in ("zarr.json", ".zarray", ".zmetadata")]
    one = draw.choice(named)
    one.write_text(draw.choice(["[" * 100_000, "{", "nul", one.read_text()[:-40]]))
    return path


@kind("ZIP that climbs", count=2)
def _(folder, draw):
    with zipfile.ZipFile(folder / "x.zip", "w") as file:
        file.writestr(draw.choice(["../evil.nc", "/tmp/evil.nc", "C:\\evil.nc"]), "42")
    return folder / "x.zip"


@kind("ZIP bomb", count=1)
def _(folder, draw):
    with zipfile.ZipFile(folder / "x.nc", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr("x.nc", bytes(50 * 10**6))
    content = (folder / "x.nc").read_bytes()  # the list says that it is a thousand times as much
    (folder / "x.nc").write_bytes(
        content.replace(struct.pack("<I", 50 * 10**6), struct.pack("<I", 4 * 10**9))
    )
    return folder / "x.nc"


@kind("gzip bomb", count=4)
def _(folder, draw):
    heads = (b"", b"P5\n# 1226 760\n1226 760\n255\n", HEAD.encode(), b"RDX3\nX\n")
    pack, head = zlib.compressobj(1, wbits=31), heads[int(folder.name)]
    path = folder / draw.choice(["x.csv.gz", "x.pgm.gz", "x.nc"])
    million = bytes(10**6)
    path.write_bytes(
        pack.compress(head) + b"".join(pack.compress(million) for _ in range(600)) + pack.flush()
    )
    return path


@kind("tar that climbs", count=2)
def _(folder, draw):
    with tarfile.open(folder / "x.tar", "w") as file:
        about = tarfile.TarInfo(draw.choice(["../evil.nc", "/tmp/evil.nc"]))
        about.size = 2
        file.addfile(about, io.BytesIO(b"42"))
    return folder / "x.tar"


@kind("pickled arrays", count=2)
def _(folder, draw):
    np.savez(folder / "x.npz", data=np.ones((4, 5, 6)), dates=np.array([{"a": 1}], object), allow_pickle=True)
    return folder / "x.npz"


@kind("a table of a million columns", count=2)
def _(folder, draw):
    many = ",".join(map(str, range(10**6)))
    head = HEAD if folder.name == "0" else f"{HEAD[:-1]},{many}\n"
    (folder / "x.csv").write_text(f"{head}2020-07-01T01:00,a,1,2,3,{many}\n")
    return folder / "x.csv"


@kind("a table of one line", count=2)
def _(folder, draw):
    (folder / "x.csv").write_text(HEAD + draw.choice(["9", "a,", '"']) * 5_000_000)
    return folder / "x.csv"


@kind("a table that is none", count=4)
def _(folder, draw):
    (folder / "x.csv").write_bytes(
        HEAD.encode() + draw.choice([draw.randbytes(5000), bytes(5000), b"\xff\xfe" * 99])
    )
    return folder / "x.csv"


@kind("a table in another encoding", "told", count=3)
def _(folder, draw):
    text = HEAD + "".join(f"2020-07-01T0{hour}:00,Zürich,47,8,{hour}\n" for hour in range(1, 6))
    (folder / "x.csv").write_bytes(text.encode(draw.choice(["utf-16", "utf-32", "cp500"])))
    return folder / "x.csv"


@kind("a table that contradicts itself", count=4)
def _(folder, draw):
    rows = draw.choice(
        [
            "2020-07-01T01:00,a,47,8,1\n2020-07-01T01:00,a,47,8,2\n",
            "2020-07-01T01:00,a,47,8,1\n2020-07-01T02:00,a,48,8,2\n",
            "2020-07-01T01:00,a,147,8,1\n2020-07-01T02:00,a,147,8,2\n",
            "2020-07-01T01:00,a,47,8,-5\n2020-07-01T02:00,a,47,8,much\n",
        ]
    )
    (folder / "x.csv").write_text(HEAD + rows)
    return folder / "x.csv"


# Hostile folders


@kind("a folder that leads round", count=2)
def _(folder, draw):
    (folder / "a").mkdir()
    (folder / "a" / "round").symlink_to(folder, target_is_directory=True)
    (folder / "a" / "README").write_text("nothing here")
    return folder if draw.random() < 0.5 else folder / "a" / "*"


@kind("a folder of files that contradict", count=2)
def _(folder, draw):
    for name in ("a.nc", "b.nc"):
        netcdf(folder / name, field(draw))
    return folder


@kind("a folder with a damaged file", count=3)
def _(folder, draw):
    netcdf(folder / "a.nc", field(draw))
    later = field(draw).assign_coords(time=TIMES + pd.Timedelta("4h"))
    cut(netcdf(folder / "b.nc", later), draw)
    return folder


@kind("no file at all", count=2)
def _(folder, draw):
    os.mkfifo(folder / "x.nc")
    (folder / "y.nc").symlink_to(folder / "y.nc")
    return folder / draw.choice(["x.nc", "y.nc"])


# Real ones, spoilt

MOST_REAL = 600_000  # bytes


def spoilt(real: Path, folder: Path, seed: int = 0) -> list[Malformed]:
    """Copies of small real files, two endings of each folder: cut off, and with bytes changed."""
    found = []
    for source in sorted(each for each in real.iterdir() if each.is_dir()):
        smallest: dict[str, Path] = {}
        for path in sorted(source.rglob("*"), key=lambda each: (each.stat().st_size, each)):
            if path.is_file() and 200 < path.stat().st_size < MOST_REAL:
                smallest.setdefault(path.suffix, path)
        for path in list(smallest.values())[:2]:
            for what, end, spoil in (("truncated", "told", cut), ("changed", "borne", flipped)):
                place = folder / f"{what}-{len(found)}"
                place.mkdir()
                (place / path.name).write_bytes(path.read_bytes())
                draw = random.Random(f"{seed}/{path.relative_to(real)}")
                found.append(
                    Malformed(f"{what} {path.relative_to(real)}", end, spoil(place / path.name, draw))
                )
    return found


# The child that opens them


def main() -> None:
    """Report on one path after the other, each as a line of JSON: what it was refused for, or is warned of.
    More than 500 MB, or five seconds of the processor for one path, end this process."""
    import resource

    from engine import findings, walls
    from engine.values import Invalid

    draw, here = random.Random(0), Path(sys.argv[1])
    for sound in (netcdf(here / "x.nc", field(draw)), grib(here / "x.grib2", draw), geotiff(here / "x.tif")):
        findings.report(str(sound))  # so that what is imported late is imported now
    findings.report(str(zarr(here / "x.zarr", draw)))
    print("ready", flush=True)
    walls.take_at_most(500 * 10**6, 10**6, 10**6)
    for line in sys.stdin:
        used = resource.getrusage(resource.RUSAGE_SELF)
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 6, 10**6))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = findings.report(json.loads(line))
                told = {"refused": found.refused, "told": [*found.notes, *found.warnings]}
            except Invalid as refused:
                told = {"refused": str(refused), "told": []}
            except BaseException as error:
                told = {"refused": "", "told": [], "raised": f"{type(error).__name__}: {error}"}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
