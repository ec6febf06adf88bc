"""A file that somebody brought, seen and made into a case by a process that can do no harm."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from engine import confined
from engine.gathered import Part, place_of
from engine.sources import cases
from engine.values import Invalid


@pytest.fixture
def brought(tmp_path):
    folder = tmp_path / "brought"
    folder.mkdir()
    rain = np.zeros((4, 300, 8), "f4")
    rain[2, 100:200] = 3
    rain[:, 0] = np.nan
    axes = {"lat": 30 + 0.01 * np.arange(300), "lon": 110 + 0.25 * np.arange(8)}
    axes |= {"time": pd.date_range("2020-07-01T01", periods=4, freq="1h")}
    whole = xr.Dataset({"rain": (("time", "lat", "lon"), rain, {"units": "mm h-1"})}, axes)
    whole.to_netcdf(folder / "a.nc", engine="h5netcdf")
    return folder


def test_a_look_holds_the_report_the_reach_and_a_small_picture(home, brought):
    seen = confined.looked(brought / "a.nc", brought, stamp="end")
    assert seen.report.sections["period"][0]["found"] == "2020-07-01 00:00:00 UTC"
    assert seen.reach is not None
    assert (str(seen.reach.start), str(seen.reach.end)) == ("2020-07-01 00:00:00", "2020-07-01 04:00:00")
    assert seen.reach.box == pytest.approx((109.875, 29.995, 111.875, 32.995))
    assert seen.picture["time"] == "2020-07-01 03:00:00"
    shown = np.array(seen.picture["values"], float)
    assert shown.shape == (100, 8)
    assert np.isnan(shown[0]).all()
    assert np.nanmax(shown) == 3
    assert [each.name for each in brought.iterdir()] == ["a.nc"]


def test_a_case_is_made_behind_the_walls_and_can_be_ended(home, brought):
    heard = []
    parts = [Part(str(brought / "a.nc"), told={"stamp": "end"}, layer="mine")]
    confined.gathered(place_of("a"), parts, None, (None, None, None), "A", lambda *told: heard.append(told))
    assert list(cases()["a"].layers) == ["mine"]

    def stop(*_told):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        confined.gathered(place_of("b"), parts, None, (None, None, None), "B", stop)
    with pytest.raises(Invalid, match="times are missing"):
        confined.gathered(
            place_of("b"), parts, None, ("2020-07-01", "2020-07-03", None), "B", lambda *_: None
        )
    assert [each.name for each in (home / "cases").iterdir()] == ["a.nc"]
