"""R's data files: the tables in them.

R keeps one or several named objects in a file. A table is a data frame, or a matrix with a column a gauge;
a series of class zoo brings its dates. All else (lists, borders, grids) is no table and is told as such.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from engine.values import Invalid

R_BEGINS = (b"RDX2\n", b"RDX3\n", b"RDA2\n", b"RDA3\n")


def is_r(content: bytes) -> bool:
    return content.startswith(R_BEGINS)


def r_tables(content: bytes, where: str) -> dict[str, pd.DataFrame | None]:
    """The objects of an R data file by name; what is no table is None."""
    try:
        from rdata.conversion import (  # pyright: ignore[reportMissingImports]
            DEFAULT_CLASS_MAP,
            convert,
        )
        from rdata.parser import parse_data  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise Invalid(f"{where}: R's data files need rdata; install it with: pip install rdata") from None

    def series(values: Any, about: Mapping[str, Any]) -> pd.DataFrame:
        return pd.DataFrame(
            np.asarray(values), about["index"], [str(each) for each in values[values.dims[1]].values]
        )

    known = {**DEFAULT_CLASS_MAP, "zoo": series, "Date": lambda days, about: days.astype("datetime64[D]")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of texts without an encoding
        found: Any = convert(parse_data(content), constructor_dict=known)
    return {str(name): each if isinstance(each, pd.DataFrame) else None for name, each in found.items()}


def r_table(content: bytes, where: str) -> pd.DataFrame:
    """The one table of an R data file, with its dates as a first column if its rows have any."""
    found = r_tables(content, where)
    tables = [each for each in found.values() if each is not None]
    if len(tables) != 1:
        told = ", ".join(list(found)[:6])
        raise Invalid(
            f"{where}: holds {told}: {len(tables) or 'no'} tables of gauges; save one table a file, with "
            "time, gauge, lat and lon in degrees, and rain"
        )
    table = tables[0].rename(columns=str)
    if isinstance(table.index, pd.DatetimeIndex):
        days = (table.index == table.index.normalize()).all()
        table.insert(0, "time", table.index.strftime("%Y-%m-%d" if days else "%Y-%m-%dT%H:%M:%S"))
    return table.reset_index(drop=True)
