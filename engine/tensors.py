"""The border between fields and tensors. On this side xarray and its conventions, on that side torch.

A field (..., time, lat, lon) becomes a tensor with the same axes and loses its names; it gets them back
from the field it came from, or from the axes of a task.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
import xarray as xr
from torch import Tensor


@cache
def device() -> torch.device:
    """Where to compute: the GPU that this process was given, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def to_tensor(field: xr.DataArray | np.ndarray, where: torch.device | str | None = None) -> Tensor:
    values = field.values if isinstance(field, xr.DataArray) else field
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(where or device())


def to_field(values: Tensor, like: xr.DataArray) -> xr.DataArray:
    """With the axes and attributes of ``like``; a leading axis that it lacks is the members'."""
    array = values.detach().to("cpu", torch.float32).numpy()
    if array.ndim == like.ndim + 1:
        axes = {"member": np.arange(array.shape[0])} | dict(like.coords)
        return xr.DataArray(array, axes, ("member", *like.dims), like.name, like.attrs)
    return like.copy(data=array)
