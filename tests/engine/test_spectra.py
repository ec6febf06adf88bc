"""Spectra of fields whose spectra are known, and beside a plain reading of the definitions."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.special import polygamma

from engine.diagnostics.spectra import (
    effective_resolution,
    log_spectral_distance,
    slope,
    spacing_km,
    spectrum,
    spectrum_in_time,
)
from engine.fields import rain
from engine.values import Invalid

KM = (5.0, 5.0)


def power_law(exponent: float, shape=(240, 240), spacing=KM, seed=0) -> np.ndarray:
    """A Gaussian field whose power falls as wavenumber to ``exponent``."""
    noise = np.fft.fft2(np.random.default_rng(seed).standard_normal(shape))
    wavenumber = np.hypot(*np.meshgrid(*map(np.fft.fftfreq, shape, spacing), indexing="ij"))
    wavenumber[0, 0] = np.inf
    return np.fft.ifft2(noise * wavenumber ** (exponent / 2)).real


def white(*shape: int, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("exponent", [-1.5, -2.5, -3.5])
@pytest.mark.parametrize(("shape", "spacing"), [((240, 240), KM), ((250, 200), (11.0, 8.0))])
def test_a_slope_is_recovered(exponent, shape, spacing):
    fields = np.stack([power_law(exponent, shape, spacing, seed) for seed in range(4)])
    found = slope(*spectrum(fields, spacing), 25.0, 200.0)
    assert found.shape == (4,)
    assert found.mean() == pytest.approx(exponent, abs=0.15)


@pytest.mark.parametrize("size", [14, 17])
def test_without_a_taper_it_is_the_mean_over_rings_of_whole_wavenumbers(size):
    """The definition of pysteps' rapsd, which leaves out the ring at Nyquist where there is one; not we."""
    field = white(size, size) ** 2
    found, whole = np.zeros(size), np.zeros(size)
    transformed = np.fft.fft2(field)
    for north in range(-(size // 2), (size + 1) // 2):
        for east in range(-(size // 2), (size + 1) // 2):
            ring = round(np.hypot(north, east))
            found[ring] += abs(transformed[north, east]) ** 2 / size**2
            whole[ring] += 1
    wavelength, power = spectrum(field, (0.7, 0.7), hann=False)
    rings = np.arange(1, size // 2 + 1)
    assert len(wavelength) == len(rings)
    np.testing.assert_allclose(power[rings - 1], (found / np.maximum(whole, 1))[rings], rtol=1e-9)
    np.testing.assert_allclose(wavelength[rings - 1], 0.7 * size / rings, rtol=0.2)


@pytest.mark.parametrize("hann", [True, False])
def test_white_noise_has_its_variance_at_every_wavelength_with_holes_too(hann):
    fields = 3 * white(40, 60, 48)
    fields[:, 10:25, 20:35] = np.nan
    power = spectrum(fields, (4.0, 5.0), hann=hann)[1].mean(0)
    np.testing.assert_allclose(power[2:], 9, rtol=0.15)
    assert power[2:].mean() == pytest.approx(9, rel=0.02)


def test_a_single_wave_stands_at_its_wavelength():
    wave = np.sin(2 * np.pi * np.arange(200) * 5.0 / 50.0)[None, :] + np.zeros((200, 1))
    for field, spacing in ((wave, KM), (wave.T[:, :150], (5.0, 7.0))):
        wavelength, power = spectrum(field, spacing)
        assert wavelength[power.argmax()] == pytest.approx(50.0, rel=0.03)
        assert (np.diff(wavelength) < 0).all()
        assert wavelength[-1] == pytest.approx(2 * max(spacing), rel=0.05)


def test_the_spectrum_forgets_the_mean_and_scales_with_the_square():
    field = power_law(-2.5)
    _, power = spectrum(field, KM)
    _, shifted = spectrum(3 * field + 100, KM)
    np.testing.assert_allclose(shifted, 9 * power, rtol=1e-6)


def test_members_and_hours_stand_in_front():
    fields = white(2, 3, 20, 24)
    fields[0, 1, 2, 3] = np.nan
    power = spectrum(fields, KM)[1]
    assert power.shape == (2, 3, 10)
    np.testing.assert_array_equal(power[0, 1], spectrum(fields[0, 1], KM)[1])


def test_nothing_has_no_power_and_the_unknown_no_spectrum():
    fields = np.stack([np.zeros((20, 20)), np.full((20, 20), 3.3), np.full((20, 20), np.nan), white(20, 20)])
    fields[3, :11] = np.nan
    wavelength, power = spectrum(fields, KM)
    assert (power[:2] == 0).all()
    assert np.isnan(power[2:]).all()
    assert np.isnan(slope(wavelength, power, 10, 100)).all()
    edge = np.zeros((4, 4))  # known only where the taper is zero
    edge[1:3, 1:3] = np.nan
    assert np.isnan(spectrum(edge, KM)[1]).all()
    with pytest.raises(Invalid, match="too small"):
        spectrum(np.zeros((3, 50)), KM)


def test_no_octave_outweighs_another():
    wavelength = 400.0 / np.arange(1, 81)
    bent = np.where(wavelength > 40, wavelength / 40, (wavelength / 40) ** 4)
    # Between 8 and 200 km the bend lies in the middle of the logarithmic axis.
    assert slope(wavelength, bent, 8.0, 200.0) == pytest.approx(-2.5, abs=0.3)


def test_a_slope_of_too_little_is_missing():
    assert np.isnan(slope(np.array([50.0, 40.0]), np.array([1.0, 2.0]), 10, 200))
    assert np.isnan(slope(np.array([50.0, 40.0]), np.array([1.0, 2.0]), 100, 200))


def test_an_effective_resolution_is_where_the_ratio_falls_for_good():
    wavelength = 400.0 / np.arange(1, 81)
    reference = wavelength**3
    cut = reference / (1 + (60 / wavelength) ** 4)
    dips = [np.where(np.isin(np.arange(80), rings), 0.1 * reference, cut) for rings in ((0, 1), (2,))]
    late = reference / (1 + (12 / wavelength) ** 4)
    late[19:24] = 0.0  # five rings that a resolution of 12 km gets over
    floor = np.where(wavelength < 15, reference, cut)
    assert effective_resolution(wavelength, cut, reference) == pytest.approx(60, rel=0.01)
    assert effective_resolution(wavelength, cut, reference, 0.2) == pytest.approx(60 / 4**0.25, rel=0.01)
    found = effective_resolution(wavelength, np.stack([cut, *dips, floor, late]), reference)
    np.testing.assert_allclose(found, [60, 60, 60, 60, 12], rtol=0.01)
    everywhere = [reference, 0.4 * reference, np.full(80, np.nan)]
    np.testing.assert_array_equal(
        effective_resolution(wavelength, np.stack(everywhere), reference), [5.0, np.inf, np.nan]
    )
    assert np.isnan(effective_resolution(wavelength, reference, 0 * reference))


def test_smoothing_by_a_known_filter_has_a_known_effective_resolution():
    fields = np.stack([power_law(-2.5, (160, 160), seed=seed) for seed in range(12)])
    smooth = np.stack([gaussian_filter(field, 3.0, mode="wrap") for field in fields])
    (wavelength, power), (_, wanted) = spectrum(smooth, KM), spectrum(fields, KM)
    # the filter leaves exp(-(2 pi k s)^2) of the power
    half = 2 * np.pi * 15.0 / np.sqrt(np.log(2))
    assert effective_resolution(wavelength, power.mean(0), wanted.mean(0)) == pytest.approx(half, rel=0.05)


def test_the_log_spectral_distance_is_in_decibels():
    reference = np.stack([np.arange(1.0, 41.0)] * 3)
    power = reference * np.array([[1.0], [10.0], [1.0]])
    power[2, ::2] *= 100
    found = log_spectral_distance(power, reference)
    np.testing.assert_allclose(found, [0, 10, 20 / np.sqrt(2)], atol=1e-12)
    np.testing.assert_array_equal(found, log_spectral_distance(reference, power))
    assert np.isnan(log_spectral_distance(np.zeros(40), reference[0]))


def test_chance_alone_sets_two_fields_apart_as_the_definition_says():
    one, other = (spectrum(white(400, 33, 33, seed=seed), KM, hann=False)[1] for seed in (1, 2))
    ring = np.rint(np.hypot(*np.meshgrid(np.arange(-16, 17), np.arange(-16, 17)))).astype(int)
    waves = np.bincount(ring.ravel())[1:17] / 2
    expected = 10 / np.log(10) * np.sqrt(2 * polygamma(1, waves))
    np.testing.assert_allclose(expected[5:], 6.1 / np.sqrt(waves[5:]), rtol=0.03)
    np.testing.assert_allclose(np.sqrt(((10 * np.log10(one / other)) ** 2).mean(0)), expected, rtol=0.15)
    distance = np.sqrt((log_spectral_distance(one, other) ** 2).mean())
    assert distance == pytest.approx(np.sqrt((expected**2).mean()), rel=0.05)


def test_a_spectrum_in_time_finds_the_daily_round_and_the_level_of_noise():
    hours = np.arange(96)[:, None, None]
    daily = np.sin(2 * np.pi * hours / 24) + np.arange(30).reshape(5, 6)
    daily[3, 2, 2] = np.nan
    period, power = spectrum_in_time(np.stack([daily, 2 * white(96, 5, 6)]), 1.0)
    assert power.shape == (2, 48)
    assert period[power[0].argmax()] == pytest.approx(24)
    assert power[1].mean() == pytest.approx(4, rel=0.1)
    assert period[0] == 96
    assert period[-1] == 2


def test_a_series_without_a_known_place_or_rain_has_no_spectrum_in_time():
    assert np.isnan(spectrum_in_time(np.full((8, 2, 2), np.nan), 1.0)[1]).all()
    assert (spectrum_in_time(np.full((8, 2, 2), 0.1), 3.0)[1] == 0).all()


def test_spacings_are_those_of_the_middle_latitude():
    field = rain(np.zeros((1, 41, 51)), ["2020-07-01"], 40 + 0.5 * np.arange(41), 0.25 * np.arange(51))
    assert spacing_km(field) == pytest.approx((55.597, 55.597 / 2 * np.cos(np.deg2rad(50))), rel=1e-4)
