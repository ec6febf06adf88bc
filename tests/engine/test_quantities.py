"""Quantities beside rain, and the notes on what was done."""

import numpy as np
import pytest
import xarray as xr

from engine.intervals import as_rate
from engine.quantities import QUANTITIES, as_quantity, noted, notes, quantity_of
from engine.values import Invalid


def test_names_of_files_are_known_once():
    names = [name for about in QUANTITIES.values() for name in about.names]
    assert len(names) == len(set(names))
    assert quantity_of("foo", "MSL") == "sea_level_pressure"
    assert quantity_of("humidity") == "humidity"
    assert quantity_of("foo", None) is None


@pytest.mark.parametrize(
    ("name", "unit", "value", "wanted"),
    [
        ("pressure", "hPa", 1013.0, 101300.0),
        ("temperature", "degC", 20.0, 293.15),
        ("humidity", "g kg-1", 12.0, 0.012),
        ("moisture_divergence", "kg m**-2 s**-1", -1e-3, -3.6),
    ],
)
def test_units_become_ours(name, unit, value, wanted):
    assert as_quantity(np.array([value, np.nan]), name, unit, "f")[0] == pytest.approx(wanted)


def test_what_cannot_be_is_refused():
    with pytest.raises(Invalid, match="f: holds 20 to 20 K, which is no air temperature"):
        as_quantity(np.array([20.0]), "temperature", "K", "f")
    with pytest.raises(Invalid, match="f: its surface pressure has unit 'atm'; known are Pa"):
        as_quantity(np.array([1.0]), "pressure", "atm", "f")
    with pytest.raises(Invalid, match="got quantity 'snow'; known are rain, humidity"):
        as_quantity(np.array([1.0]), "snow", "m", "f")


def test_a_lazy_field_is_checked_where_it_is_read():
    values = xr.DataArray(np.array([1.0, 2.0, -5.0]), dims="time").chunk(time=1)
    found = as_rate(values, "mm h-1", None, "f")
    np.testing.assert_array_equal(found[:2].values, [1, 2])
    assert found.dtype == np.float32
    with pytest.raises(Invalid, match="f: holds -5 to -5 mm/h, which is no rain"):
        found.load()


def test_notes_follow_one_another_once():
    field = noted(noted(xr.DataArray(0.0), "first"), "second", "first", "")
    assert notes(field) == ["first", "second"]
    assert "notes" not in noted(xr.DataArray(0.0)).attrs
