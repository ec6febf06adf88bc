"""Laws of errors, recovered from reports whose errors were drawn by them."""

import numpy as np
import pytest

from engine.errors import error_law, error_reach
from engine.values import Invalid

RANDOM = np.random.default_rng(0)


def test_the_law_of_errors_is_found_in_spite_of_faults():
    truth = RANDOM.gamma(0.7, 4, 20000)
    gauges = truth + np.sqrt(0.2**2 + (0.3 * truth) ** 2) * RANDOM.standard_normal(20000)
    gauges[::50] = 150
    floor, share = error_law(truth, gauges)
    assert floor == pytest.approx(0.2, rel=0.15)
    assert share == pytest.approx(0.3, rel=0.1)
    with pytest.raises(Invalid, match="too few"):
        error_law(truth[:10], gauges[:10])


def test_the_reach_of_errors_is_found():
    """Errors of the source that fade over 60 km, and errors of each gauge; a share of 3/4 is the source's."""
    gauges, hours = 120, 300
    lat, lon = RANDOM.uniform(28, 31, gauges), RANDOM.uniform(110, 114, gauges)
    east, north = (lon - 112) * 111.2 * np.cos(np.radians(29.5)), (lat - 29.5) * 111.2
    away = np.hypot(east[:, None] - east, north[:, None] - north)
    root = np.linalg.cholesky(np.exp(-away / 60) + 1e-9 * np.eye(gauges))
    source = RANDOM.gamma(0.7, 3, (gauges, hours))
    error = np.sqrt(0.75) * root @ RANDOM.standard_normal((gauges, hours))
    error = error + np.sqrt(0.25) * RANDOM.standard_normal((gauges, hours))
    report = source + error * np.sqrt(0.3**2 + (0.4 * source) ** 2)
    report[3] = 0.0  # stuck
    report[50, ::20] = 200  # spikes
    report[7, :100] = np.nan
    km, share = error_reach(source, report, lat, lon)
    assert km == pytest.approx(60, rel=0.15)
    assert share == pytest.approx(0.75, abs=0.06)
    with pytest.raises(Invalid, match="give more gauges"):
        error_reach(source[:4], report[:4], lat[:4], lon[:4])


@pytest.mark.parametrize("gauges", [1, 2])
def test_a_reach_needs_pairs_of_gauges(gauges):
    some = np.ones((gauges, 100))
    with pytest.raises(Invalid, match="give more gauges"):
        error_reach(some, some, np.arange(gauges), np.arange(gauges))
