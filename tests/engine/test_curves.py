"""Curves on fields whose curves are known."""

import numpy as np
import pytest

from engine.diagnostics.curves import intensities, slope, spectrum, wet_fraction


def power_law(exponent: float, shape=(240, 240), spacing=(5.0, 5.0), seed=0) -> np.ndarray:
    """A Gaussian field whose power falls as wavenumber to ``exponent``."""
    noise = np.fft.fft2(np.random.default_rng(seed).standard_normal(shape))
    wavenumber = np.hypot(*np.meshgrid(*map(np.fft.fftfreq, shape, spacing), indexing="ij"))
    wavenumber[0, 0] = np.inf
    return np.fft.ifft2(noise * wavenumber ** (exponent / 2)).real


@pytest.mark.parametrize("exponent", [-1.5, -2.5, -3.5])
@pytest.mark.parametrize(("shape", "spacing"), [((240, 240), (5.0, 5.0)), ((250, 200), (11.0, 8.0))])
def test_a_slope_is_recovered(exponent, shape, spacing):
    found = [
        slope(*spectrum(power_law(exponent, shape, spacing, seed), spacing), 25.0, 200.0) for seed in range(4)
    ]
    assert np.mean(found) == pytest.approx(exponent, abs=0.15)


def test_a_single_wave_stands_at_its_wavelength():
    wave = np.sin(2 * np.pi * np.arange(200) * 5.0 / 50.0)[None, :] + np.zeros((200, 1))
    wavelength, power = spectrum(wave, (5.0, 5.0))
    assert wavelength[power.argmax()] == pytest.approx(50.0, rel=0.03)
    assert (np.diff(wavelength) < 0).all()


def test_the_spectrum_forgets_the_mean_and_scales_with_the_square():
    field = power_law(-2.5)
    _, power = spectrum(field, (5.0, 5.0))
    _, shifted = spectrum(3 * field + 100, (5.0, 5.0))
    np.testing.assert_allclose(shifted, 9 * power, rtol=1e-6)


def test_no_octave_outweighs_another():
    wavelength = 400.0 / np.arange(1, 81)
    bent = np.where(wavelength > 40, wavelength / 40, (wavelength / 40) ** 4)
    # Between 8 and 200 km the bend lies in the middle of the logarithmic axis.
    assert slope(wavelength, bent, 8.0, 200.0) == pytest.approx(-2.5, abs=0.3)


def test_a_slope_of_too_little_is_missing():
    assert np.isnan(slope(np.array([50.0, 40.0]), np.array([1.0, 2.0]), 10, 200))


def test_the_wet_fraction_counts_known_places_only():
    rain = np.array([[[0.0, 0.1], [5.0, np.nan]], [[0.0, 0.05], [0.0, 0.0]]])
    np.testing.assert_allclose(wet_fraction(rain), [2 / 3, 0])


def test_intensities_count_dry_places():
    rain = np.concatenate([np.zeros(900), np.arange(1.0, 101.0)]).reshape(2, 20, 25).astype(float)
    assert intensities(rain.reshape(40, 25), [90.0]) == pytest.approx([0.1], abs=0.5)
    assert intensities(rain, [50, 100]).shape == (2, 2)
    assert intensities(rain, [100])[0].tolist() == [0.0, 100.0]
