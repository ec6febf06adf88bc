"""What ERA5 calls what it holds, alike in each archive that has it.

There is no humidity near the ground in ERA5's single levels; the reader makes it of the dew point and the
surface pressure, as ECMWF does.
"""

from __future__ import annotations

STEP, INTERVAL = 0.25, "1h"
# Of each quantity: the variables that are fetched for it.
OFFERS = {
    "rain": ("total_precipitation",),
    "humidity": ("2m_dewpoint_temperature", "surface_pressure"),
    "wind_u": ("10m_u_component_of_wind",),
    "wind_v": ("10m_v_component_of_wind",),
    "pressure": ("surface_pressure",),
    "sea_level_pressure": ("mean_sea_level_pressure",),
    "temperature": ("2m_temperature",),
    "dewpoint": ("2m_dewpoint_temperature",),
    "moisture_divergence": ("vertical_integral_of_divergence_of_moisture_flux",),
}
# Of each variable: its short name in files, and its unit.
SHORT = {
    "total_precipitation": ("tp", "m"),
    "2m_dewpoint_temperature": ("d2m", "K"),
    "surface_pressure": ("sp", "Pa"),
    "10m_u_component_of_wind": ("u10", "m s**-1"),
    "10m_v_component_of_wind": ("v10", "m s**-1"),
    "mean_sea_level_pressure": ("msl", "Pa"),
    "2m_temperature": ("t2m", "K"),
    "vertical_integral_of_divergence_of_moisture_flux": ("viwvd", "kg m**-2 s**-1"),
}


def variables(quantities: tuple[str, ...]) -> tuple[str, ...]:
    """What must be fetched for these quantities, each once."""
    return tuple(dict.fromkeys(name for each in quantities for name in OFFERS[each]))
