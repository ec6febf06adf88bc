"""The fusion benchmark: folds, cases that nobody has seen before, and what it says of bad ones."""

import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml

from engine.diagnostics.scores import at_gauges
from engine.fields import Observations
from engine.formats import to_netcdf
from engine.sources import layer
from engine.values import Invalid
from tests.conftest import BOX, PERIOD, small_world

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cases(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module("fusion_case")


@pytest.fixture
def fusion(cases):
    return importlib.import_module("benchmarks.fusion")


def told(**changes) -> dict:
    entries = {
        "domain": list(BOX),
        "step": 0.25,
        "period": {"start": str(PERIOD.start), "end": str(PERIOD.end)},
        "sources": {"satellite": "small/satellite"},
        "gauges": "small/gauges",
        "folds": {"count": 4},
        "members": 4,
    }
    return entries | changes


def written(path: Path, **changes) -> str:
    path.write_text(yaml.safe_dump(told(**changes)))
    return str(path)


@pytest.mark.parametrize("folds", [{"by": "gauge"}, {"by": "block", "block_km": 90}, {"by": "elevation"}])
def test_every_gauge_is_judged_once(cases, small, tmp_path, folds):
    case = cases.opened(written(tmp_path / "x.yaml", folds={"count": 4, "seed": 2, **folds}), tmp_path)
    parts = case.parts()
    assert sorted(name for part in parts for name in part) == sorted(case.gauges.names)
    assert 2 <= len(parts) <= 4
    if folds["by"] == "block":
        gauges = case.gauges
        near = np.hypot(np.subtract.outer(gauges.lat, gauges.lat), np.subtract.outer(gauges.lon, gauges.lon))
        fold = [next(k for k, part in enumerate(parts) if name in part) for name in gauges.names]
        alike = np.equal.outer(fold, fold)
        assert alike[near < 0.15].mean() > alike.mean() + 0.2


def test_the_judges_of_a_fold_are_never_seen(fusion, cases, small, tmp_path, monkeypatch):
    case = cases.opened(written(tmp_path / "x.yaml"), tmp_path)
    seen = []
    original = fusion.method("interpolation", {}).__class__.run

    def spied(self, task, seed, members):
        seen.append((set(task.gauges.hold_out), task))
        return original(self, task, seed, members)

    monkeypatch.setattr(fusion.method("interpolation", {}).__class__, "run", spied)
    entry = fusion.Entry("nearest", "interpolation", (), {"kind": "nearest", "gauges": "alone"})
    held = case.parts()[0]
    found = fusion.fold(case, entry, held)
    from engine.given import evidence

    assert seen[0][0] == set(held)
    assert not set(evidence(seen[0][1]).gauges.names) & set(held)
    assert found.sizes == {"member": 1, "gauge": len(held), "time": 6}


def test_a_case_of_files_never_seen_before(fusion, small, tmp_path):
    _, seen, gauges = small_world()
    lat, lon = np.meshgrid(seen.lat, seen.lon, indexing="ij")
    turned = {"lat": (("y", "x"), lat), "lon": (("y", "x"), lon)}
    depth = (("time", "y", "x"), np.repeat(seen.values, 2, 0) / 2)
    half_hours = seen.indexes["time"].repeat(2) - np.tile(np.array([60, 30], "m8[m]"), 6)
    radar = xr.Dataset({"RR": depth}, {"time": half_hours, **turned})
    radar.to_netcdf(tmp_path / "radar.nc", engine="h5netcdf")
    frame = gauges.rain.to_dataframe().reset_index()
    frame[["time", "gauge", "lat", "lon", "rain"]].to_csv(tmp_path / "gauges.csv", index=False)
    case = written(
        tmp_path / "new.yaml",
        sources={"radar": {"file": "radar.nc", "unit": "mm", "stamp": "start", "step": 0.25}},
        gauges={"file": "gauges.csv", "unit": "mm/h"},
        folds={"count": 3},
        settings={"kriging": {"most_gauges": 30}},
        methods=["interpolation", {"method": "kriging", "label": "kriged", "settings": {"speckle": 0}}],
    )
    rows = fusion.run(case, False)
    labels = ["raw radar", "interpolation, radar", "kriged"]
    assert list(dict.fromkeys(row["method"] for row in rows)) == labels
    scores = {row["method"]: row for row in rows if row["metric"] == "CRPS"}
    assert len({row["n"] for row in scores.values()}) == 1
    raw = np.nanmean(np.abs(at_gauges(seen, gauges).values - gauges.values))
    assert scores["raw radar"]["value"] == pytest.approx(raw, rel=1e-3)
    assert scores["kriged"]["value"] < scores["raw radar"]["value"]
    low, high = (
        next(row for row in rows if row["metric"].startswith("CRPS minus"))[key] for key in ("low", "high")
    )
    assert low < high


def test_radar_as_truth_is_degraded_by_its_seed(cases, small, tmp_path):
    def gathered(folder: Path, seed: int) -> tuple[np.ndarray, Observations]:
        folder.mkdir()
        case = cases.opened(
            written(
                folder / "x.yaml",
                truth="small/truth",
                sources={"worse": {"instrument": "reanalysis", "seed": seed, "settings": {"step": 0.5}}},
                gauges={"sites": 12, "seed": 3},
            ),
            folder,
        )
        found = layer(case.sources["worse"])
        assert isinstance(found, xr.DataArray)
        assert case.truth is None
        return found.values, case.gauges

    one, gauges = gathered(tmp_path / "a", 1)
    again, _ = gathered(tmp_path / "b", 1)
    other, _ = gathered(tmp_path / "c", 2)
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    truth = layer("small/truth")
    assert isinstance(truth, xr.DataArray)
    at = {"lat": xr.DataArray(gauges.lat, dims="gauge"), "lon": xr.DataArray(gauges.lon, dims="gauge")}
    wanted = truth.sel(at, method="nearest").transpose("gauge", "time")
    np.testing.assert_allclose(gauges.values, wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"sources": {"radar": {"file": "none/here.nc", "unit": "mm"}}}, "no none/here.nc in"),
        (
            {"sources": {"radar": {"file": "x.yaml", "reader": "magic"}}},
            "radar.reader: got 'magic'; give one of",
        ),
        ({"sources": {"radar": {"file": "x.yaml", "reader": "cf", "colour": 1}}}, "radar.colour: cf knows"),
        ({"sources": {"worse": {"instrument": "satellite"}}}, "needs a truth"),
        ({"sources": {}}, "give at least one"),
        ({"gauges": {"sites": 5}}, "need a truth"),
        ({"domains": [1, 2]}, "did you mean 'domain'"),
        ({"folds": {"count": 1}}, "folds.count"),
        ({"methods": ["krigging"]}, "give one of adjustment"),
        ({"methods": [{"method": "kriging", "sources": ["radar"]}]}, "no 'radar' in the case"),
        ({"methods": ["kriging", "kriging"]}, "stands twice"),
        ({"methods": "kriging"}, "methods: got 'kriging'; give a list"),
        ({"methods": [{"method": "kriging", "sources": "satellite"}]}, "methods.sources: got 'satellite'"),
        ({"settings": [1]}, "settings"),
        ({"settings": {"kriging": {"colour": 1}}}, "settings.kriging"),
        ({"folds": {"count": 20}, "domain": [110, 28, 111, 29]}, "gauges; give at most as many"),
        (
            {"period": {"start": "2019-07-01", "end": "2019-07-02"}},
            "4 of 4 times are missing",
        ),
    ],
)
def test_bad_cases_are_refused_in_one_line(fusion, small, tmp_path, changes, line):
    with pytest.raises(Invalid) as refused:
        fusion.run(written(tmp_path / "x.yaml", **changes), True)
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)


SHIPPED = {"front", "front20", "forecast20", "gauges1", "gauges3", "mrms", "openmrg", "radar", "radolan"}
SHIPPED |= {"radolan20", "valparaiso"}


def test_the_shipped_cases_say_what_they_are(cases, tmp_path, monkeypatch):
    assert set(cases.shipped()) == SHIPPED
    for path in cases.shipped().values():
        entries = yaml.safe_load(path.read_text())
        assert set(entries) <= set(cases.KNOWN)
        assert entries["title"]
    monkeypatch.setenv("RAINLOOM_DATA", str(tmp_path))
    with pytest.raises(Invalid, match="set RAINLOOM_DATA to its folder"):
        cases.opened("radolan", tmp_path)
    with pytest.raises(Invalid, match="front, front20, gauges1"):
        cases.opened("nowhere", tmp_path)


def test_gauges_are_dealt_evenly(cases, small, tmp_path):
    case = cases.opened(written(tmp_path / "x.yaml"), tmp_path)
    count = len(case.gauges)
    for folds in (3, min(count, 20)):
        even = replace(case, folds={"count": folds, "seed": 0}).parts()
        assert len(even) == folds
        assert max(map(len, even)) - min(map(len, even)) <= 1
    assert replace(case, folds={"count": 3, "seed": 1}).parts() != replace(case, folds={"count": 3}).parts()


def test_a_hole_in_the_truth_is_not_dry(cases, small):
    truth = layer("small/truth")
    assert isinstance(truth, xr.DataArray)
    holed = truth.where(truth != truth.max()).transpose("time", "lat", "lon")
    hour, row, column = np.argwhere((truth == truth.max()).values)[0]
    found = importlib.import_module("fusion_sources").filled(holed)
    assert not found.isnull().any()
    around = holed[hour, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
    assert float(found[hour, row, column]) in around.values
    xr.testing.assert_equal(found.where(holed.notnull()), holed)


def test_a_truth_is_known_all_the_time_before_anything_is_made(cases, small, tmp_path):
    truth = layer("small/truth")
    assert isinstance(truth, xr.DataArray)
    to_netcdf(truth.isel(time=slice(1, None)), tmp_path / "late.nc")
    with pytest.raises(Invalid, match=r"truth: 1 of 6 times are missing"):
        cases.opened(written(tmp_path / "x.yaml", truth={"file": "late.nc"}), tmp_path)


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ({"file": "x.csv", "reader": "reports", "unit": ["mm"]}, "its rain has unit"),
        ({"file": "bad.grib2", "reader": "grib"}, "bad.grib2"),
        ({"file": "bad.grib2"}, "is of no kind"),
        (5, "got 5; give a file"),
        ({"file": "x.nc", "reader": ["cf"]}, "give one of"),
    ],
)
def test_what_a_reader_chokes_on_is_told_in_one_line(cases, small, tmp_path, entry, line):
    truth = layer("small/truth")
    assert isinstance(truth, xr.DataArray)
    to_netcdf(truth, tmp_path / "x.nc")
    (tmp_path / "bad.grib2").write_bytes(b"GR1B of no kind")
    rows = (f"2020-07-01T0{hour}:00,a,30,112,1" for hour in (1, 2, 3))
    (tmp_path / "x.csv").write_text("\n".join(("time,gauge,lat,lon,rain", *rows)))
    with pytest.raises(Invalid) as refused:
        cases.opened(written(tmp_path / "x.yaml", sources={"s": entry}), tmp_path)
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("entry", [None, [], 3])
def test_no_gauges_are_told_in_one_line(cases, small, tmp_path, entry):
    with pytest.raises(Invalid, match="gauges: got"):
        cases.opened(written(tmp_path / "x.yaml", gauges=entry), tmp_path)


def test_a_share_of_the_gauges_is_used_once(cases, small, tmp_path):
    told = tmp_path / "x.yaml"
    entries = yaml.safe_load(Path(written(told)).read_text()) | {"folds": {"use": 0.25, "seed": 1}}
    told.write_text(yaml.safe_dump(entries))
    case = cases.opened(str(told), tmp_path)
    (held,) = case.parts()
    assert 0.5 * len(case.gauges) < len(held) < len(case.gauges)
    gauges = case.task("kriging", 1, [], held, {}).gauges
    assert set(gauges.split(case.gauges)[1]) == set(held)
