"""IMERG, version 7, from NASA's GES DISC: a granule of the whole Earth for every half hour.

It needs an account of NASA's Earthdata, in which the application "NASA GESDISC DATA ARCHIVE" is approved
once. A granule is kept whole, so that another domain needs no other one. The Final run is adjusted to
gauges and comes some months later; the Late run is there after half a day, the Early after four hours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import xarray as xr

from engine.archives import Asked, Part, Remote
from engine.archives.transfer import download
from engine.sources import imerg, read_with
from engine.values import Invalid, instant

VERSION = "07"
GRANULE = 8_000_000  # bytes, about
STRATEGIES = ("environment", "netrc")  # never to ask on a terminal that may not be there


class Connection(NamedTuple):
    earthaccess: Any
    session: Any
    granules: dict[pd.Timestamp, Any]  # by their start, as far as they were looked up


@dataclass(frozen=True)
class Imerg(Remote):
    product: str

    package = "earthaccess"
    credentials = "~/.netrc (or EARTHDATA_TOKEN, or EARTHDATA_USERNAME and EARTHDATA_PASSWORD)"
    page = "https://disc.gsfc.nasa.gov/earthdata-login"
    offers = {"rain": ("precipitation",)}
    reader = imerg

    def parts(self, asked: Asked) -> list[Part]:
        starts = asked.period.times - asked.period.step
        return [Part(f"{start:%Y%m%d-S%H%M%S}.HDF5", GRANULE, GRANULE, {"start": start}) for start in starts]

    def connect(self) -> Connection:
        earthaccess = self.imported()
        for strategy in STRATEGIES:
            try:
                login = earthaccess.login(strategy=strategy)
            except Exception as error:
                if type(error).__name__ == "LoginStrategyUnavailable":
                    continue
                if type(error).__name__ != "LoginAttemptFailure":
                    raise
                told = f"renew them at {self.page}"
                raise Invalid(
                    f"fetch: {self.title} does not know the credentials in {self.credentials}; {told}"
                ) from None
            if login.authenticated:
                return Connection(earthaccess, earthaccess.get_requests_https_session(), {})
        told = f"make one as on {self.page} and put it into {self.credentials}"
        raise Invalid(f"fetch: {self.title} needs an account; {told}")

    def fetch(self, connection: Connection, part: Part, asked: Asked, path: Path) -> Iterator[int | str]:
        start = part.about["start"]
        if start not in connection.granules:
            yield f"looking for the granules of {start:%Y-%m-%d}"
            connection.granules.update(self._of_day(connection.earthaccess, start))
        if start not in connection.granules:
            raise Invalid(f"fetch: {self.title} has no granule of {start}; choose another period")
        granule = connection.granules[start]
        link = next(iter(granule.data_links(access="external")), None)
        if link is None:
            raise Invalid(f"fetch: {self.title} names no address for its granule of {start}")
        yield from download(connection.session, link, path, *_announced(granule))

    def read(self, path: Path, quantity: str, asked: Asked) -> xr.DataArray:
        found = read_with(imerg, path, box=asked.around(self.step))
        if not isinstance(found, xr.DataArray):
            raise Invalid(f"{path}: holds gauges")
        return found

    def _of_day(self, earthaccess: Any, start: pd.Timestamp) -> dict[pd.Timestamp, Any]:
        first = start.normalize()
        last = first + pd.Timedelta("1D") - pd.Timedelta("1s")
        found = earthaccess.search_data(
            short_name=self.product, version=VERSION, temporal=(first.isoformat(), last.isoformat())
        )
        return {_begins(each): each for each in found}


def _begins(granule: Any) -> pd.Timestamp:
    return instant("granule", granule["umm"]["TemporalExtent"]["RangeDateTime"]["BeginningDateTime"])


def _announced(granule: Any) -> tuple[int | None, tuple[str, str] | None]:
    """The size and the checksum of a granule, as far as the catalogue knows them."""
    told = granule["umm"].get("DataGranule", {}).get("ArchiveAndDistributionInformation") or [{}]
    size, check = told[0].get("SizeInBytes"), told[0].get("Checksum")
    return size, (check["Algorithm"], check["Value"]) if check else None


REMOTES: dict[str, Any] = {
    name: Imerg(title, 0.1, "30min", product)
    for name, title, product in (
        ("imerg", "IMERG, Final run", "GPM_3IMERGHH"),
        ("imerg-late", "IMERG, Late run", "GPM_3IMERGHHL"),
        ("imerg-early", "IMERG, Early run", "GPM_3IMERGHHE"),
    )
}
