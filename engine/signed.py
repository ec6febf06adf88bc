"""Signed rain: how much falls where it rains, how far it is to rain where it is dry.

A field of rain is nought over most of a map, and a Gaussian has no use for a place where most of its mass
stands on one value: beside a storm and in a desert it would be told the same. So rain goes on below zero. A
dry cell has minus its distance to rain in km, the field is continuous through the edge of every storm, and
dry is the half line below zero. Brought to the quantiles of a normal (`engine.transforms.NormalScore`) its
neighbourhoods are close to Gaussian; on the way back all that is below zero is dry.

A lone wet cell is no rain to be near to: of its surroundings some part has to be wet too.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

NEAREST = 1.0  # km: no dry cell is nearer to rain
FARTHEST = 5000.0  # km, where there is none
FAINT = 0.002  # mm/h, below which a cell is dry
WET = 0.02  # mm/h that others are near to
AROUND_KM, SHARE = 11.0, 0.2  # surroundings of a cell, and the part of them that has to be wet


def signed(rain: np.ndarray, cell_km: tuple[float, float]) -> np.ndarray:
    """Of a field (rows, columns) in mm/h, missing as NaN, which stays missing."""
    known = np.isfinite(rain)
    filled = np.where(known, rain, 0.0).astype(np.float32)
    wet = (filled >= WET).astype(np.float32)
    for axis, cell in enumerate(cell_km):
        wet = ndimage.uniform_filter1d(wet, 2 * int(AROUND_KM / 2 / cell) + 1, axis)
    near = wet > SHARE - 1e-4
    away = np.full(rain.shape, FARTHEST)
    if near.any():
        ndimage.distance_transform_edt(~near, sampling=cell_km, distances=away)
    told = np.where(filled > FAINT, filled, -np.maximum(away, NEAREST))
    return np.where(known, told, np.nan).astype(np.float32)


def halfway(wet: np.ndarray, away: np.ndarray) -> np.ndarray:
    """Of reports (site, hour), true where wet, at such distances (km) of sites: the distance to rain at each
    site, minus. The edge of rain is somewhere between a dry gauge and the nearest wet one: halfway."""
    to_wet = np.where(wet[None], away[:, :, None], 2 * FARTHEST).min(1)
    return -np.maximum(to_wet / 2, NEAREST)
