"""Flags, proven on faults that were planted: in dense and sparse networks, and on real crowd gauges."""

import json

import numpy as np
import pytest
import xarray as xr

from engine import quality
from engine.fields import Box, Observations
from engine.quality import CHECKS, cleaned, flags, table
from engine.quantities import notes
from engine.sources import layer, opensense
from engine.values import Invalid


def seen(lat, lon):
    """The simulated truth at these places: (place, time)."""
    at = {"lat": xr.DataArray(lat, dims="gauge"), "lon": xr.DataArray(lon, dims="gauge")}
    return layer("front/truth").interp(at).transpose("gauge", "time")


def network(count=400, box=(106, 26, 109, 29), seed=6):
    """Sound gauges, one in 16 km square, in tips of 0.2 mm, each wrong by a factor of its own."""
    rng = np.random.default_rng(seed)
    lat, lon = rng.uniform(box[1], box[3], count), rng.uniform(box[0], box[2], count)
    truth = seen(lat, lon)
    rain = np.round(truth.values * np.exp(0.15 * rng.standard_normal((count, 1))) / 0.2) * 0.2
    names = [f"G{each:03d}" for each in range(count)]
    return Observations.of(rain, names, truth.time.values, lat, lon, np.full(count, 50.0))


def changed(gauges, values=None, **places):
    rain = gauges.rain if values is None else gauges.rain.copy(data=values)
    return Observations(rain.assign_coords({name: ("gauge", each) for name, each in places.items()}))


def failed(found, name):
    return found.sel(flag=name).values


@pytest.fixture(scope="module")
def sound():
    return network()


def test_sound_gauges_fail_next_to_nothing(sound):
    found = flags(sound)
    shares = {name: failed(found, name).mean() for name in CHECKS}
    assert sum(shares.values()) < 1e-3, shares
    assert failed(found, "stranger").sum() == 0


def test_spikes_are_found_and_storms_are_not(sound):
    rng = np.random.default_rng(1)
    values = sound.values.copy()
    row, hour = rng.integers(0, len(sound), 60), rng.integers(1, values.shape[1] - 1, 60)
    planted = np.zeros(values.shape, bool)
    planted[row, hour] = True
    values[planted] += np.round(90 * rng.lognormal(0, 0.4, planted.sum()), 1)
    found = flags(changed(sound, values))
    flagged = failed(found, "spike") | failed(found, "influx")
    assert flagged[planted].mean() > 0.85
    assert flagged[~planted].mean() < 2e-4


def test_faulty_zeros_are_found_where_neighbours_have_rain(sound):
    rng = np.random.default_rng(2)
    values, planted = sound.values.copy(), np.zeros(sound.values.shape, bool)
    for each in rng.choice(len(sound), 40, replace=False):
        begin = rng.integers(0, values.shape[1] - 14)
        planted[each, begin : begin + 14] = values[each, begin : begin + 14] >= 0.4
        values[each, begin : begin + 14] = 0
    flagged = failed(flags(changed(sound, values)), "zeros")
    assert planted.sum() > 100
    # 0.79 here; 0.54 and 0.59 in two boxes of shorter rain, 0.39 where a gauge stands in 28 km square.
    assert flagged[planted].mean() > 0.7
    assert flagged[~planted & (values == 0)].mean() < 0.005


def test_equal_amounts_again_and_again(sound):
    values = sound.values.copy()
    values[3, 10:16], values[4, 10:15], values[5, 10:20] = 2.4, 2.4, 0.2
    flagged = failed(flags(changed(sound, values)), "stuck")
    assert flagged[3, 10:16].all()
    assert not flagged[[4, 5], 10:20].any()


def test_more_than_was_ever_measured(sound):
    values = sound.values.copy()
    values[7, 7] = 500
    flagged = failed(flags(changed(sound, values)), "range")
    assert list(zip(*np.nonzero(flagged), strict=True)) == [(7, 7)]


def test_a_second_name_and_a_second_place_for_one_series(sound):
    wettest = int((sound.values > 0).sum(1).argmax())
    copy = sound.rain.isel(gauge=[wettest, wettest])
    shift = np.array([0, 0.5])
    there = copy.assign_coords(gauge=["same", "elsewhere"], lat=copy.lat + shift, lon=copy.lon + shift)
    found = flags(Observations(xr.concat([sound.rain, there], "gauge")))
    assert np.flatnonzero(failed(found, "twin").any(1)).tolist() == [len(sound), len(sound) + 1]


def test_places_that_cannot_be(sound):
    lat, lon, high = sound.lat.copy(), sound.lon.copy(), sound.elevation.copy()
    lat[0], lon[0] = 0, 0
    swap = changed(sound, lon=lon - 60)  # 46..49 east, so that both orders are degrees
    lat[1], east = swap.lon[1], swap.lon.copy()
    east[0], east[1] = 0, sound.lat[1]
    high[2], high[3] = 9999, -999
    found = flags(changed(swap, lat=lat, lon=east, elevation=high))
    assert np.flatnonzero(failed(found, "place").any(1)).tolist() == [0, 1, 2, 3]
    inside = failed(flags(sound, Box(106, 26, 109, 28)), "place").any(1)
    np.testing.assert_array_equal(inside, sound.lat > 28)


def test_a_gauge_that_does_not_go_with_its_neighbours(sound):
    values = sound.values.copy()
    wet = (quality.around(values, quality.neighbours(sound, 30, np.ones(len(sound), bool)))[0] > 0).sum(1)
    chosen = np.argsort(-wet)[:3]
    values[chosen] = np.random.default_rng(3).permuted(values[chosen], axis=1)
    values[chosen[2]] = 0
    found = np.flatnonzero(failed(flags(changed(sound, values)), "stranger").any(1))
    assert set(found) <= set(chosen)
    assert len(found) >= 2


def test_nothing_is_deleted_and_everything_is_told(sound):
    values = sound.values.copy()
    values[7, 7], values[8, 0] = 500, np.nan
    gauges = changed(sound, values)
    found = flags(gauges)
    kept = cleaned(gauges, found)
    assert np.isnan(kept.values[7, 7])
    assert int(np.isnan(kept.values).sum()) == int(found.any("flag").sum()) + 1
    assert (gauges.values[7, 7], kept.names) == (500, gauges.names)
    assert "1 reports of 1 gauges were made missing: more rain than has ever" in "\n".join(notes(kept.rain))
    rows = {row["flag"]: row for row in table(found)}
    assert list(rows) == list(CHECKS)
    assert rows["range"] == {"flag": "range", "reports": 1, "gauges": 1, "meaning": CHECKS["range"]}
    assert cleaned(gauges, found, only=["stuck"]).values[7, 7] == 500
    with pytest.raises(Invalid, match="got 'colour'; known are place"):
        cleaned(gauges, found, only=["colour"])


def test_one_gauge_or_one_time_says_nothing(sound):
    for part in (sound.rain.isel(gauge=[0]), sound.rain.isel(time=[20])):
        assert not flags(Observations(part)).sel(flag=["twin", "zeros", "stuck", "stranger"]).any()


def test_the_simulated_network_gives_its_faults_away():
    """800 gauges over 25 degrees: too sparse for zeros, dense enough for spikes that stand alone."""
    gauges = layer("front/gauges")
    assert isinstance(gauges, Observations)
    faults, names = json.loads(gauges.rain.attrs["faults"]), np.array(gauges.names)
    excess = gauges.values - 3 * np.nan_to_num(seen(gauges.lat, gauges.lon).values)
    planted = np.isin(names, faults["spiky"])[:, None] & (gauges.values > 20) & (excess > 10)
    found = flags(gauges)
    spiky = failed(found, "spike") | failed(found, "influx")
    assert planted.sum() == 30
    assert spiky[planted].sum() >= 22
    assert not spiky[~planted].any()
    twice = np.isin(names, faults["twice"])
    assert failed(found, "twin").any(1)[twice].sum() >= 6
    assert not failed(found, "twin").any(1)[~twice].any()
    assert not failed(found, "stranger").any()


def test_real_crowd_gauges_that_radar_contradicts_are_strangers(shared):
    path = shared / "ams_pws" / "tests" / "test_dataset.nc"
    if not path.exists():
        pytest.skip("no ams_pws")
    gauges = opensense.read(path)
    found = flags(gauges)
    strange = np.array(gauges.names)[failed(found, "stranger").any(1)]
    # Hourly sums of these against the nearest pixel of gauge-adjusted radar: correlation below 0.2, or no
    # rain at all while radar saw 270 mm and more; of all others three are below 0.2, the median is 0.55.
    assert strange.tolist() == ["ams11", "ams61", "ams73", "ams80", "ams83", "ams92"]
    shares = {name: failed(found, name).sum() / np.isfinite(gauges.values).sum() for name in CHECKS}
    assert shares["zeros"] < 0.005
    assert shares["influx"] < 1e-4
    assert failed(found, "influx").sum() >= 10
    assert shares["place"] == shares["twin"] == shares["range"] == 0
