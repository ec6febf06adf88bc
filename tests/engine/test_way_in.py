"""The way in: folders and patterns, what is packed, the catalogue, the report, and the child behind walls."""

from __future__ import annotations

import gzip
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml

from engine import catalogue, confined
from engine.fields import Observations
from engine.findings import doubts, looked_over, report
from engine.given import absolute, evidence, independent
from engine.quantities import notes
from engine.reading import collected, guard, headers, unpacking
from engine.sources import digest, existing, field_of, layer, open_any, readers
from engine.tasks import Task, Use
from engine.usage import task_of
from engine.values import Invalid
from tests.conftest import BOX, small_world

ROOT = Path(__file__).resolve().parents[2]


def write(path: Path, part: xr.DataArray, **changes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = part.drop_attrs().assign_attrs(units="mm", interval="1h", **changes).to_dataset(name="rain")
    whole.to_netcdf(path, engine="h5netcdf")
    return path


@pytest.fixture
def archive(tmp_path) -> Path:
    """A folder of hourly files, whose names run against time, with what else lies in such folders."""
    truth = small_world()[0]
    for hour in range(6):
        write(tmp_path / "archive" / f"day{hour % 2}" / f"{9 - hour}.nc", truth.isel(time=[hour]))
    (tmp_path / "archive" / "README.md").write_text("Our radar.")
    (tmp_path / "archive" / ".DS_Store").write_bytes(b"\0\1")
    (tmp_path / "archive" / "day0" / "9.md5").write_text("d41d8cd98f00b204")
    return tmp_path / "archive"


def field(place: Path | str, **about) -> xr.DataArray:
    found = open_any(place, **about)
    assert isinstance(found, xr.DataArray)
    return found


# Folders and patterns


@pytest.mark.parametrize("held", [10**7, 0])
def test_a_folder_or_a_pattern_is_one_source_in_order_of_time(archive, monkeypatch, held):
    monkeypatch.setattr(collected, "HELD", held)
    truth = small_world()[0]
    for place in (archive, f"{archive}/**/*.nc"):
        found = field(place)
        assert (found.chunks is None) == bool(held)
        np.testing.assert_array_equal(found.values, truth.values)
        np.testing.assert_array_equal(found.time.values, truth.time.values)
        assert "joined from 6 files" in notes(found)
    assert any(
        "left out" in each and "README.md" in each and "9.md5" in each for each in notes(field(archive))
    )
    assert field(f"{archive}/day0/*.nc").sizes["time"] == 3


def test_what_is_lazy_is_read_when_asked_for_and_told_when_changed(archive, monkeypatch):
    monkeypatch.setattr(collected, "HELD", 0)
    found, truth = field(archive), small_world()[0]
    np.testing.assert_array_equal(found.isel(time=[2]).values, truth.values[[2]])
    write(archive / "day0" / "9.nc", truth.isel(time=[0, 1]))
    with pytest.raises(Invalid, match=r"9\.nc was changed while it was in use"):
        found.isel(time=[0]).load()


def test_an_archive_that_was_read_once_opens_without_being_read(archive, monkeypatch):
    from engine import sources

    monkeypatch.setattr(collected, "HELD", 0)
    first, truth = field(archive), small_world()[0]
    sources._joined.cache_clear()
    read = sources.read_with
    monkeypatch.setattr(sources, "read_with", None)
    again = field(archive)
    xr.testing.assert_identical(again.coords.to_dataset(), first.coords.to_dataset())
    assert again.attrs == first.attrs
    monkeypatch.setattr(sources, "read_with", read)
    np.testing.assert_array_equal(again.values, truth.values)
    write(archive / "day0" / "9.nc", truth.isel(time=[0]) * 2)
    np.testing.assert_allclose(field(archive).values[0], 2 * truth.values[0])


def test_gaps_are_told_and_twice_the_same_is_once(archive):
    truth = small_world()[0]
    (archive / "day1" / "6.nc").unlink()
    (archive / "day0" / "5.nc").unlink()
    write(archive / "again.nc", truth.isel(time=[0, 1]))
    found = field(archive)
    assert found.sizes["time"] == 4
    told = "\n".join(notes(found))
    assert "2 fields stood in two files with the same values" in told
    assert "1 gap: the first after 2020-07-01T03:00:00, the longest of 2h after 2020-07-01T03:00:00" in told


def test_what_is_joined_is_no_more_independent_than_its_parts_and_of_one_product():
    one, two = small_world()[0].isel(time=[0]), small_world()[0].isel(time=[1])
    parts = [(Path("a"), one.assign_attrs(independent="false")), (Path("b"), two)]
    assert collected.series(parts).attrs["independent"] == "false"
    assert (
        "independent"
        not in collected.series([(Path("a"), one.assign_attrs(independent="true")), parts[1]]).attrs
    )
    parts = [(Path("a"), one.assign_attrs(product="RY")), (Path("b"), two.assign_attrs(product="RZ"))]
    with pytest.raises(Invalid, match="different products: RY in a, RZ in b"):
        collected.series(parts)


def test_months_are_joined_and_their_gaps_told(tmp_path):
    truth = small_world()[0].isel(time=slice(4))
    months = pd.DatetimeIndex(["2020-02-01", "2020-03-01", "2020-06-01", "2020-07-01"])
    whole = truth.assign_coords(time=months)
    for name, part in (("b", slice(2)), ("a", slice(2, 4))):
        (tmp_path / "archive").mkdir(exist_ok=True)
        one = whole.isel(time=part).drop_attrs().assign_attrs(units="mm/h", interval="1mo")
        one.to_dataset(name="rain").to_netcdf(tmp_path / "archive" / f"{name}.nc", engine="h5netcdf")
    found = field(tmp_path / "archive", stamp="end")
    assert found.attrs["interval"] == "1mo"
    assert list(found.indexes["time"]) == list(months)
    np.testing.assert_allclose(found.values, truth.values)
    assert "its times have 1 gap: the first after 2020-03, the longest of 2mo" in notes(found)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda one: one * 2, r"again\.nc .*contradict each other at 2020-07-01T01:00:00|contradict"),
        (lambda one: one.isel(lat=slice(4)), r"different grids \(lat\): .*0\.nc.*|different grids \(lat\)"),
        (lambda one: one.assign_coords(lon=one.lon + 1), r"different grids \(lon\): 16 from 11"),
    ],
)
def test_files_that_do_not_belong_together_are_named(archive, change, told):
    write(archive / "again.nc", change(small_world()[0].isel(time=[0])))
    with pytest.raises(Invalid, match=told) as refused:
        open_any(archive)
    assert "again.nc" in str(refused.value)
    assert str(refused.value).count(".nc") >= 2


def test_other_intervals_and_gauges_are_no_part_of_it(archive):
    half = small_world()[0].isel(time=[0])
    path = archive / "half.nc"
    half.drop_attrs().assign_attrs(units="mm", interval="30min").to_dataset(name="rain").to_netcdf(
        path, engine="h5netcdf"
    )
    with pytest.raises(Invalid, match=r"different intervals: .* in .*nc, .* in .*nc"):
        open_any(archive)
    path.unlink()
    rows = "".join(f"2020-07-01T0{hour}:00,a,30,111,1\n" for hour in range(1, 4))
    (archive / "gauges.csv").write_text("time,gauge,lat,lon,rainfall_amount\n" + rows)
    with pytest.raises(Invalid, match=r"\.nc holds a field and .*gauges\.csv gauges"):
        open_any(archive)


def test_a_damaged_one_among_them_is_not_left_out(archive):
    (archive / "day0" / "late.nc").write_bytes(b"")
    with pytest.raises(
        Invalid, match=r"late\.nc is of no kind, .*fetch it again|late\.nc is of no known kind"
    ):
        open_any(archive)
    with pytest.raises(Invalid, match=r"no file that is read here; it has README\.md"):
        open_any(f"{archive}/READ*")


def test_folders_that_lead_round_are_not_followed(archive):
    (archive / "round").symlink_to(archive, target_is_directory=True)
    assert field(archive).sizes["time"] == 6
    assert len(collected.files(archive)) == 9


def test_gauges_of_several_files_are_one_network(tmp_path):
    head = "time,gauge,lat,lon,rainfall_amount\n"
    for name, gauge, first in (("a", "A", 1), ("b", "B", 1), ("c", "A", 4)):
        lat = 30 if gauge == "A" else 31
        rows = "".join(f"2020-07-01T0{first + hour}:00,{gauge},{lat},111,{hour}\n" for hour in range(3))
        (tmp_path / f"{name}.csv").write_text(head + rows)
    found = open_any(tmp_path)
    assert isinstance(found, Observations)
    assert found.names == ["A", "B"]
    np.testing.assert_array_equal(found.values[0], [0, 1, 2, 0, 1, 2])
    (tmp_path / "d.csv").write_text(head + "2020-07-01T02:00,A,30,111,9\n2020-07-01T03:00,A,30,111,9\n")
    with pytest.raises(Invalid, match=r"gauge A has other rain in .*\.csv than in .*d\.csv"):
        open_any(tmp_path)


def test_a_task_takes_a_folder_or_a_pattern(archive, task):
    for place in (archive, f"{archive}/*/*.nc"):
        whole = Task.of(task.as_entries() | {"sources": [str(place)]})
        seen = evidence(whole).of("background")[str(place)]
        np.testing.assert_allclose(seen.sel(lat=slice(28, 32), lon=slice(110, 114)).values, small_world()[0])
    before = digest(str(archive))
    (archive / "README.md").write_text("Our other radar.")
    assert digest(str(archive)) != before
    assert digest(f"{archive}/*/*.nc") == digest(f"{archive}/day*/*.nc")


def test_names_are_made_absolute(archive, task, monkeypatch):
    monkeypatch.chdir(archive.parent)
    whole = absolute(Task.of(task.as_entries() | {"sources": ["archive", "archive/*/*.nc", "small/truth"]}))
    assert [use.name for use in whole.sources] == [str(archive), f"{archive}/*/*.nc", "small/truth"]


def test_what_is_no_ordinary_file_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Invalid, match="no ordinary file"):
        existing(tmp_path / "pipe")


# Packed files


def test_what_is_packed_soundly_is_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr("a/b.txt", "42")
    into = tmp_path / "from-x.zip"
    assert unpacking.unzipped(tmp_path / "x.zip", into) == [into / "a" / "b.txt"]
    assert (into / "a" / "b.txt").read_text() == "42"
    with pytest.raises(Invalid, match="unpacks to more than"):
        unpacking.unzipped(tmp_path / "x.zip", tmp_path / "small", 1)
    assert not [each for each in (tmp_path / "small").rglob("*") if each.is_file()]
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"42"))
    assert unpacking.unpacked(tmp_path / "x.gz") == b"42"
    assert unpacking.unpacked(tmp_path / "from-x.zip" / "a" / "b.txt") == b"42"
    with pytest.raises(Invalid, match="unpacks to more than"):
        unpacking.unpacked(tmp_path / "x.gz", 1)
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"42" * 500)[:-9])
    with pytest.raises(Invalid, match="may be damaged"):
        unpacking.unpacked(tmp_path / "x.gz")


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil", "C:\\evil", "a\nb"])
def test_nothing_is_written_beside_the_folder(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr(name, "42")
    with pytest.raises(Invalid, match="would be written elsewhere"):
        unpacking.unzipped(tmp_path / "x.zip", tmp_path / "into")
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["x.zip"]


def test_links_in_packed_files_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        about = zipfile.ZipInfo("link")
        about.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(about, "/etc/passwd")
    with pytest.raises(Invalid, match="is a link"):
        unpacking.unzipped(tmp_path / "x.zip", tmp_path / "into")


def test_pickled_arrays_are_refused_and_plain_ones_known_unread(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.ones((2, 3), "f4"))
    assert headers.arrays(tmp_path / "x.npz") == {"a": ((2, 3), np.dtype("f4"))}
    np.savez(tmp_path / "y.npz", a=np.array([{}], object), allow_pickle=True)
    with pytest.raises(Invalid, match="pickled Python, which is never run"):
        headers.arrays(tmp_path / "y.npz")


def test_honest_chunks_and_texts_pass_the_gate(tmp_path, monkeypatch):
    monkeypatch.setattr(guard, "SMALL_BYTES", 1000)
    noise = np.random.default_rng(0).integers(0, 9, (300, 300))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        about = {"chunks": (100, 300), "compression": "gzip", "shuffle": True, "fletcher32": True}
        file.create_dataset("rain", data=noise, **about)
        file["names"] = [f"S{number}" for number in range(2000)]
        file.attrs["history"] = "x" * 60_000
    guard.guarded(tmp_path / "x.h5")


# The catalogue


def registered(home: Path, text: str) -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / "sources.yaml").write_text(text)


def test_a_registered_name_stands_wherever_a_source_is_named(archive, home, task):
    entry = {"path": str(archive), "title": "Our radar", "independent": True, "licence": "CC BY 4.0"}
    registered(home, yaml.safe_dump({"radar": entry}))
    found = field_of("radar")
    np.testing.assert_array_equal(found.values, small_world()[0].values)
    assert found.attrs["title"] == "Our radar"
    assert independent(Use("radar")) is True
    whole = absolute(Task.of(task.as_entries() | {"sources": ["radar"]}))
    assert whole.sources[0].name == "radar"
    assert list(evidence(whole).of("background")) == ["radar"]
    assert report("radar").sections["what it is"][0]["found"].endswith("files")
    before = digest("radar")
    registered(home, yaml.safe_dump({"radar": entry | {"interval": "1h"}}))
    assert digest("radar") != before  # it may be read otherwise
    registered(home, yaml.safe_dump({"radar": entry | {"start": "2020-01-01"}}))
    with pytest.raises(Invalid, match=r"knows no .*see radar in .*sources\.yaml"):
        layer("radar")


def test_the_home_goes_before_the_configuration(archive, home, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    registered(tmp_path / "config" / "rainloom", "radar: {path: /one}\nother: {path: ../../archive}\n")
    registered(home, "radar: {path: /two}\n")
    assert {name: one.path for name, one in catalogue.known().items()}["radar"] == "/two"
    assert isinstance(layer("other"), xr.DataArray)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("radar: [1", "sources.yaml: not YAML: line"),
        ("[1, 2]", "give entries such as radar"),
        ("radar: {}", "radar.path: got None; give a file, a folder or a pattern"),
        ("radar: {path: /x, untis: mm}", "radar.untis: unknown entry; did you mean 'unit'"),
        ("'a/b': {path: /x}", "a/b: is no name"),
        ("radar: {path: /x, independent: perhaps}", "independent: got 'perhaps'; give true or false"),
        ("radar: {path: /x, token: abc}", "secrets are not kept here; put it into an environment variable"),
        ("radar: {path: /x, credentials: 7f9Jq2xK0aLm}", "credentials: looks like a secret"),
        ("radar: {path: /x, credentials: AKIAIOSFODNN7EXAMPLE}", "credentials: looks like a secret"),
        ("radar: {path: /x, api_key: 7f9Jq2xK0aLm}", "api_key: secrets are not kept here"),
        ("radar: {path: 'https://me:7f9Jq2xK0aLm@host/x'}", "path: is an address; give a file"),
        ("radar: /x", "radar: got text alone; write it as radar: {path: ...}"),
        ("radar: {path: /x}\nradar: {path: /y}", "radar stands twice"),
        ("a: &a {path: /x}\nb: *a\n", "line 2: has an alias"),
        ("a: " + "[" * 5000, "nested too deeply"),
    ],
)
def test_a_bad_entry_is_told_with_its_file_and_no_secret(home, text, told):
    registered(home, text)
    with pytest.raises(Invalid) as refused:
        catalogue.known()
    assert told in str(refused.value)
    assert "sources.yaml" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "7f9Jq2xK0aLm" not in str(refused.value)
    assert "AKIA" not in str(refused.value)


# The report


def test_a_report_says_what_a_task_would(archive, task):
    found = report(str(archive))
    whole = Task.of_yaml(found.task)
    assert whole.domain == BOX
    assert whole.step == 0.25
    assert len(evidence(whole).of("background")[str(archive)].time) == 6
    again = report(str(archive / "day0" / "*.nc"), interval="1h")
    assert "gap" in "\n".join(again.warnings)
    (entry,) = yaml.safe_load(again.entry).values()
    assert entry["interval"] == "1h"


def test_what_a_report_gives_to_paste_runs_as_it_stands(home, tmp_path):
    place = tmp_path / "our gauges (1).csv"
    place.write_text("date,RR,id,lat,lon\n2020-07-01 01:00,3,a,47,8\n2020-07-01 02:00,-1,a,47,8\n")
    found = report(str(place), unit="mm", columns={"rain": "RR"}, missing=-1)
    registered(home, found.entry)
    task = Task.of_yaml(found.task)
    assert task.gauges is not None
    assert task.gauges.source == "our-gauges-1"
    seen = evidence(task).gauges
    assert seen is not None
    np.testing.assert_array_equal(seen.values, [[3, np.nan]])
    assert task.domain.contains(47, 8)


def test_a_name_can_be_told_whatever_a_reader_can():
    import inspect

    known = {name for each in readers() for name in list(inspect.signature(each.read).parameters)[1:]}
    assert known == set(catalogue.TOLD)


def test_months_can_be_looked_at_and_no_task_is_made_of_them():
    axes = {
        "time": pd.to_datetime(["2020-02-01", "2020-03-01", "2020-05-01"]),
        "lat": [0.0, 1],
        "lon": [0.0, 1],
    }
    field = xr.DataArray(np.ones((3, 2, 2), "f4"), axes, ("time", "lat", "lon"), "rain")
    field = field.assign_attrs(units="mm h-1", interval="1mo")
    told = list(doubts(field, looked_over(field)))
    assert "1 of its months are absent" in told
    assert any("not used in one" in each for each in told)


def test_of_cells_that_are_not_square_a_task_takes_square_ones():
    lat, lon = np.arange(-84.0, 85, 24), np.arange(0.0, 100, 20)  # the outer cells reach beyond the poles
    axes = {"time": pd.date_range("2020-07-01", periods=2, freq="h"), "lat": lat, "lon": lon}
    field = xr.DataArray(np.ones((2, 8, 5), "f4"), axes, ("time", "lat", "lon"), "rain")
    task = Task.of_yaml(task_of("x.nc", field.assign_attrs(units="mm h-1", interval="1h")))
    assert (task.step, *task.domain) == (24, -10, -90, 86, 78)


def doubtful(tmp_path: Path, values: np.ndarray, interval: str = "1h") -> list[str]:
    times = pd.date_range("2020-07-01", periods=len(values), freq=interval)
    axes = {"time": times, "lat": [0.0, 1], "lon": [0.0, 1]}
    about = {"units": "mm h-1", "interval": interval}
    whole = xr.DataArray(values.astype("f4"), axes, ("time", "lat", "lon"), "rain", about)
    whole.to_dataset().to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    return report(str(tmp_path / "x.nc")).warnings


@pytest.mark.parametrize(
    ("values", "interval", "told"),
    [
        (np.full((3, 2, 2), np.nan), "1h", "every value is missing"),
        (np.zeros((3, 2, 2)), "1h", "every value is zero"),
        (np.array([0.0, 350, 1, 2]).reshape(1, 2, 2), "1h", "highest value is 350 mm/h at 2020-07-01"),
        (np.array([0.0, 1, 1, 2]).reshape(1, 2, 2), "1h", "holds a single time"),
        (np.array([0.0, 1, 1, 100] * 2).reshape(2, 2, 2), "1D", "more than was ever measured in 24h (79.6)"),
        (np.arange(40.0).reshape(10, 2, 2) % 7, "1D", "mm per day may have been taken for mm per hour"),
        (np.arange(480.0).reshape(120, 2, 2) / 1e5, "1h", "never rains more than 0.0048 mm/h"),
    ],
)
def test_what_looks_wrong_is_said_with_the_reason(tmp_path, values, interval, told):
    assert any(told in each for each in doubtful(tmp_path, values, interval))


def test_what_looks_right_is_not_doubted(tmp_path):
    assert doubtful(tmp_path, np.random.default_rng(0).gamma(0.3, 1, (24, 2, 2))) == []


def test_a_large_lazy_field_is_judged_by_a_sample(archive, monkeypatch):
    from engine import findings

    monkeypatch.setattr(collected, "HELD", 0)
    monkeypatch.setattr(findings, "SAMPLE", 1)
    monkeypatch.setattr(findings, "LEAST", 2)
    rows = report(str(archive)).sections["values"]
    assert {"what": "seen", "found": "a sample of 2 of 6 times"} in rows


# Behind walls


def test_a_child_reports_and_opens(archive, tmp_path):
    path, truth = archive / "day0" / "9.nc", small_world()[0]
    assert confined.inspected(path) == report(str(path))
    found = confined.opened(path, folder=tmp_path / "cache")
    np.testing.assert_array_equal(found.values if isinstance(found, xr.DataArray) else None, truth.values[:1])
    assert len(list((tmp_path / "cache").iterdir())) == 1
    (tmp_path / "gauges.csv").write_text(
        "time,gauge,lat,lon,rainfall_amount\n2020-07-01T01:00,Zürich,47,8,1\n2020-07-01T02:00,Zürich,47,8,\n"
    )
    gauges, direct = (
        confined.opened(tmp_path / "gauges.csv", folder=tmp_path / "cache"),
        open_any(tmp_path / "gauges.csv"),
    )
    assert isinstance(gauges, Observations)
    assert isinstance(direct, Observations)
    xr.testing.assert_identical(gauges.rain, direct.rain)
    (tmp_path / "bad.nc").write_bytes(path.read_bytes()[:900])
    with pytest.raises(Invalid, match="may be damaged"):
        confined.opened(tmp_path / "bad.nc", folder=tmp_path / "cache")


def test_a_child_that_takes_too_long_is_one_line(archive):
    with pytest.raises(Invalid, match=r"took more than 0\.05 s to read") as refused:
        confined.inspected(archive / "day0" / "9.nc", limits=confined.Limits(seconds=0.05))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("wall", ["the system's", "Python's"])
def test_walls_hold(tmp_path, wall):
    (tmp_path / "inside").mkdir()
    (tmp_path / "there").write_text("old")
    tries = f"""
import os, socket, subprocess, sys
from pathlib import Path
from engine import walls
if {wall == "Python's"}:
    walls._landlock = lambda folder: False
held = walls.write_only_in(Path({str(tmp_path / "inside")!r}))
if {wall != "Python's"} and not held:
    sys.exit(77)
walls.take_at_most(300 * 10**6, 60, 10**6)
Path({str(tmp_path / "inside" / "mine")!r}).write_text("42")
done = []
for name, act in {{
    "write": lambda: open({str(tmp_path / "new")!r}, "w"),
    "append": lambda: open({str(tmp_path / "there")!r}, "a"),
    "remove": lambda: os.remove({str(tmp_path / "there")!r}),
    "rename": lambda: os.rename({str(tmp_path / "there")!r}, {str(tmp_path / "inside" / "x")!r}),
    "folder": lambda: os.mkdir({str(tmp_path / "folder")!r}),
    "link": lambda: os.symlink("/etc/passwd", {str(tmp_path / "link")!r}),
    "program": lambda: subprocess.run(["/bin/true"]),
    "connect": lambda: socket.create_connection(("127.0.0.1", 9), 1),
    "memory": lambda: bytearray(10**9),
    "file": lambda: Path({str(tmp_path / "inside" / "big")!r}).write_bytes(bytes(10**7)),
}}.items():
    try:
        act()
    except (PermissionError, MemoryError):
        continue
    except OSError as error:
        if error.errno == 27:
            continue
        done.append(f"{{name}}: {{error}}")
        continue
    done.append(name)
print(done)
"""
    ended = subprocess.run(
        [sys.executable, "-B", "-c", tries], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    if ended.returncode == 77:
        pytest.skip("this system has no Landlock")
    assert ended.stdout.strip() == "[]", ended.stdout + ended.stderr
    assert (tmp_path / "there").read_text() == "old"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["inside", "there"]
