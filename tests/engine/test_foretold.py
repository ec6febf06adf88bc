"""What maps foretell: bias is taken off, and what is missed is told as large as it is."""

import numpy as np
import pytest
import torch
import xarray as xr

from engine.climate import Climate
from engine.fields import Box, Grid, Observations, Period, rain
from engine.foretold import USUAL, foretold
from engine.noise import Streams
from engine.reports import Reports
from engine.signed import signed
from engine.transforms import NormalScore

GRID = Grid(Box(0, 40, 4, 43.2), 0.05)
TIMES = Period("2020-07-01T00:00", "2020-07-01T06:00").times  # pyright: ignore[reportArgumentType]
# Dry below .5; an exponential of the score above; distances grow below.
KNOTS = np.linspace(-3, 4, 141)
SCORE = NormalScore.read(
    {
        "latent": KNOTS.tolist(),
        "rain": np.where(KNOTS > 0.5, np.expm1(KNOTS - 0.5), 60 * (KNOTS - 0.5)).tolist(),
    }
)
CLIMATE = Climate(0.0, (60.0,), (1.0,))


def world(gauges: int = 150) -> tuple[xr.DataArray, xr.DataArray, Observations]:
    """Rain, a map of it that is too wet and errs over 40 km, and gauges."""
    truth, wrong = (
        law.on(GRID).draw(
            Streams(number, range(6))("white", law.on(GRID).basis.noise(torch.Size(GRID.shape)))
        )
        for number, law in enumerate((CLIMATE, Climate(0.0, (40.0,), (0.15,))))
    )
    fell = SCORE.inverse(truth).numpy()
    seen = SCORE.inverse(truth + wrong + 0.6).numpy()
    rng = np.random.default_rng(0)
    row, column = rng.integers(GRID.shape[0], size=gauges), rng.integers(GRID.shape[1], size=gauges)
    names = [f"G{each:03d}" for each in range(gauges)]
    at = (GRID.lat[row], GRID.lon[column])
    return (
        rain(fell, TIMES, GRID.lat, GRID.lon),
        rain(seen.astype("f4"), TIMES, GRID.lat, GRID.lon),
        Observations.of(fell[:, row, column].T, names, TIMES, *at),
    )


def told(*backgrounds, gauges=None):
    reports = None if gauges is None else Reports.of(gauges, GRID, SCORE, 0.1)
    *_, answer = foretold(backgrounds, GRID, reports, SCORE)
    assert answer is not None
    return answer


def latent(fell) -> np.ndarray:
    cell_km = (5.56, 4.16)
    both = np.stack([signed(each, cell_km) for each in fell.values])
    return SCORE.forward(torch.from_numpy(both)).numpy()


def test_gauges_take_off_bias_and_tell_how_much_is_missed():
    fell, seen, gauges = world()
    found, truth = told(seen, gauges=gauges), latent(fell)
    assert len(found.missed) == 2
    wet = fell.values > 0.02
    off, plain = (truth - each for each in (found.expected, found.plain))
    assert np.square(off[wet]).mean() < 0.7 * np.square(plain[wet]).mean()
    assert abs(plain[wet].mean()) > 0.3
    assert abs(off[found.weights[:, 1] > 0.5].mean()) < 0.1
    there = found.weights[:, 1] > 0.5
    assert found.missed[1].variance == pytest.approx(np.square(off[there]).mean(), rel=0.35)
    np.testing.assert_allclose(found.weights.sum(1), 1, atol=1e-6)


def test_dry_reports_alone_would_say_less_rain_than_they_do():
    """Taken for the score of no rain they would lift what is expected where it is dry."""
    _, seen, gauges = world(400)
    expected = told(seen, gauges=gauges).expected
    dry = seen.values < 0.02
    assert float(expected[dry].mean()) < SCORE.dry - 0.3


def test_the_better_of_two_maps_counts_more():
    fell, seen, gauges = world()
    noise = np.random.default_rng(2).lognormal(0, 1.5, seen.shape)
    both, alone = told(seen, seen * noise, gauges=gauges), told(seen, gauges=gauges)
    wet, truth = fell.values > 0.02, latent(fell)
    off = [np.square(truth - each.expected)[wet].mean() for each in (both, alone)]
    assert off[0] < 1.05 * off[1]


def test_a_gap_is_no_map():
    _, seen, gauges = world()
    gappy = seen.where((seen.lon > 2) | (seen.time > TIMES[2]))
    found = told(gappy, gauges=gauges)
    assert not found.weights[0, :, :, :30].any()
    assert not found.expected[0, :, :30].any()
    np.testing.assert_allclose(found.weights[4].sum(0), 1, atol=1e-6)


def test_without_gauges_as_much_of_the_maps_is_expected_as_their_usual_errors_allow():
    _, seen, gauges = world()
    few = gauges.select(gauges.names[:5])
    for some in (None, few):
        found = told(seen, gauges=some)
        assert found.missed == (USUAL,)
        np.testing.assert_allclose(found.expected, (1 - USUAL.variance) ** 0.5 * found.plain, rtol=1e-5)


def test_a_dry_report_stands_at_the_score_of_no_rain():
    _, _, gauges = world()
    reported = Reports.of(gauges, GRID, SCORE, 0.1)
    assert (reported.latent[reported.dry] == SCORE.dry).all()
    assert (reported.latent[~reported.dry] > SCORE.dry).all()
