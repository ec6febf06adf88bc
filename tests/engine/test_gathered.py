"""A case of one's own: files of several kinds become layers, and what does not fit is told in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from engine import gathered
from engine.fields import Box, Observations
from engine.gathered import Part, gather, place_of
from engine.sources import cases
from engine.sources.cases import read_case
from engine.tasks import Task
from engine.values import Invalid

TIMES = pd.date_range("2016-07-01T01", periods=12, freq="1h")


def axis(low: float, high: float, step: float) -> np.ndarray:
    return np.arange(low + step / 2, high, step)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A reanalysis by the hour with humidity, a satellite by half hours, and a table of gauges."""
    random = np.random.default_rng(0)
    rain = random.gamma(0.3, 3, (12, 24, 24)).astype("f4")
    where = {"time": TIMES, "lat": axis(28, 34, 0.25), "lon": axis(108, 114, 0.25)}
    hourly = xr.Dataset({"pr": (("time", "lat", "lon"), rain, {"units": "mm h-1"})}, where)
    hourly["hus"] = ("time", "lat", "lon"), rain * 0 + 0.01, {"units": "kg kg-1"}
    hourly.to_netcdf(tmp_path / "reanalysis.nc", engine="h5netcdf")
    half = pd.date_range("2016-07-01T00:30", periods=24, freq="30min")
    fine = {"time": half, "lat": axis(29, 33, 0.1), "lon": axis(109, 113, 0.1)}
    seen = random.gamma(0.3, 3, (24, 40, 40)).astype("f4")
    xr.Dataset({"rain": (("time", "lat", "lon"), seen, {"units": "mm h-1"})}, fine).to_netcdf(
        tmp_path / "satellite.nc", engine="h5netcdf"
    )
    rows = ["time,gauge,lat,lon,rainfall_amount (mm)"]
    rows += [f"{time.isoformat()},S{n},{29.2 + n},{109.5 + n},{n}.5" for time in TIMES for n in range(4)]
    rows += [f"{time.isoformat()},far,50,10,1" for time in TIMES]
    (tmp_path / "gauges.csv").write_text("\n".join(rows) + "\n")
    return {name.stem: str(name) for name in tmp_path.iterdir() if name.is_file()}


@pytest.fixture
def parts(files) -> list[Part]:
    gauges = Part(files["gauges"], told={"unit": "mm", "stamp": "end"})
    return [Part(files["reanalysis"]), Part(files["satellite"], independent=True), gauges]


def test_what_all_sources_cover_becomes_a_case_each_on_its_own_grid(home, files, parts):
    heard: list[float] = []
    humidity = Part(files["reanalysis"], told={"variable": "humidity"}, layer="humidity")
    gather(place_of("mine"), [*parts, humidity], heard=lambda share, _: heard.append(share))
    case = cases()["mine"]
    assert tuple(case.box) == (109, 29, 113, 33)
    assert (str(case.period.start), case.period.interval) == ("2016-07-01 00:00:00", "1h")
    kinds = {name: (about["kind"], about["role"], about["native"]) for name, about in case.layers.items()}
    assert kinds == {
        "reanalysis": ("field", "background", "0.25°"),
        "satellite": ("field", "background", "0.1°"),
        "gauges": ("gauges", "", None),
        "humidity": ("field", "predictor", "0.25°"),
    }
    assert heard == sorted(heard)
    assert heard[-1] == 1
    gauges, satellite = case.layer("gauges"), case.layer("satellite")
    assert isinstance(gauges, Observations)
    assert gauges.names == ["S0", "S1", "S2", "S3"]
    assert isinstance(satellite, xr.DataArray)
    with xr.open_dataset(files["satellite"], engine="h5netcdf") as whole:
        hour = whole.rain.isel(time=slice(0, 2)).mean("time").sel(lat=30.05, lon=110.05, method="nearest")
    assert float(satellite.sel(lat=30.05, lon=110.05, method="nearest")[0]) == pytest.approx(
        float(hour), abs=0.006
    )
    assert case.about["simulated"] == "false"


def test_a_task_runs_on_it(home, parts):
    from engine.given import evidence

    gather(place_of("mine"), parts, Box(109.4, 29, 112.4, 32), ("2016-07-01T03:00", "2016-07-01T09:00", "3h"))
    task = Task.of(
        {
            "domain": [109.4, 29, 112.4, 32],
            "step": 0.1,
            "period": {"start": "2016-07-01T03:00", "end": "2016-07-01T09:00", "step": "3h"},
            "sources": ["mine/satellite", "mine/reanalysis"],
            "gauges": {"source": "mine/gauges", "hold_out": 0},
            "method": "kriging",
        }
    )
    given = evidence(task)
    assert set(given.of("background")) == {"mine/satellite", "mine/reanalysis"}
    assert given.gauges is not None
    assert len(given.gauges) == 3


def test_fields_are_read_a_block_after_the_other(home, files, parts, monkeypatch):
    gather(place_of("whole"), parts)
    monkeypatch.setattr(gathered, "BLOCK", 1)
    gather(place_of("hours"), parts)
    one, other = (cases()[name].layer("satellite") for name in ("whole", "hours"))
    assert isinstance(one, xr.DataArray)
    assert isinstance(other, xr.DataArray)
    xr.testing.assert_identical(one, other)


def test_a_days_tenth_of_a_millimetre_is_kept(home, tmp_path):
    days = {
        "time": pd.date_range("2016-07-02", periods=3),
        "lat": axis(28, 30, 0.5),
        "lon": axis(108, 110, 0.5),
    }
    rain = np.full((3, 4, 4), 0.1, "f4")
    xr.Dataset({"rain": (("time", "lat", "lon"), rain, {"units": "mm/day"})}, days).to_netcdf(
        tmp_path / "days.nc", engine="h5netcdf"
    )
    gather(place_of("days"), [Part(str(tmp_path / "days.nc"), told={"stamp": "end"})])
    layer = cases()["days"].layer("days")
    assert isinstance(layer, xr.DataArray)
    assert 24 * float(layer.max()) == pytest.approx(0.1, abs=0.006)


@pytest.mark.parametrize(
    ("box", "span", "why"),
    [
        ((0, 0, 10, 10), (None, None, None), "does not reach the domain"),
        (None, ("2016-07-01T00:00", "2016-07-03T00:00", None), "times are missing"),
        (None, (None, None, "30min"), "intervals of 1h"),
        ((108, 28, 109, 29), (None, None, None), "none of 5 lies inside"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(home, parts, box, span, why):
    order = [parts[0], parts[2]]
    with pytest.raises(Invalid, match=why) as refused:
        gather(place_of("mine"), order, Box.of(box) if box else None, span)
    assert "\n" not in str(refused.value)
    assert not list((home / "cases").glob("*"))


def test_gauges_alone_names_in_use_and_wrong_roles_are_refused(home, files, parts):
    with pytest.raises(Invalid, match="a field of rain"):
        gather(place_of("mine"), parts[2:])
    with pytest.raises(Invalid, match="came with Rainloom"):
        place_of("front")
    with pytest.raises(Invalid, match="is no name"):
        place_of("../front")
    with pytest.raises(Invalid, match="background or reference"):
        gather(place_of("mine"), [Part(files["reanalysis"], role="predictor")])


def test_stopping_leaves_nothing_behind(home, parts):
    def stop(share: float, _what: str) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gather(place_of("mine"), parts, heard=stop)
    assert not list((home / "cases").glob("*"))


def test_a_case_is_there_at_once_and_its_file_is_read_as_any(home, parts):
    assert "mine" not in cases()
    gather(place_of("mine"), parts, title="July 2016")
    path = place_of("mine")
    assert read_case(path, path.stat().st_mtime_ns).title == "July 2016"
    assert cases()["mine"].layers["satellite"]["independent"] is True
