"""ERA5 from the Climate Data Store of Copernicus: a request a month, which waits in a queue.

It needs an account, and once the acceptance of the data set's licence. A request that is under way there is
remembered beside the part, so that whoever stops here takes it up again and does not wait twice. What
gathers over the hour and what is of its instant come in two files, packed into one ZIP by any name.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.archives import Asked, Part, Remote
from engine.archives.ecmwf import INTERVAL, OFFERS, STEP, variables
from engine.archives.transfer import download, waiting
from engine.sources import era5
from engine.values import Invalid

DATASET = "reanalysis-era5-single-levels"
POLL = 15  # s between two looks at the queue


@dataclass(frozen=True)
class Cds(Remote):
    package = "cdsapi"
    credentials = "~/.cdsapirc (or CDSAPI_RC, or CDSAPI_URL and CDSAPI_KEY)"
    page = f"https://cds.climate.copernicus.eu/datasets/{DATASET}?tab=download#manage-licences"
    offers = OFFERS
    reader = era5

    def parts(self, asked: Asked) -> list[Part]:
        """A month each, of the days that lie in the period."""
        names, times = variables(asked.quantities), asked.period.times
        box = asked.around(self.step)
        found = []
        for month in times.to_period("M").unique():
            days = times[times.to_period("M") == month].normalize().unique()
            request = {
                "product_type": ["reanalysis"],
                "variable": list(names),
                "year": [f"{month.year}"],
                "month": [f"{month.month:02d}"],
                "day": [f"{day:%d}" for day in days],
                "time": [f"{hour:02d}:00" for hour in range(24)],
                "area": [box.north, box.west, box.south, box.east],
                "data_format": "netcdf",
                "download_format": "unarchived",
            }
            digest = asked.digest(self.step, *names, *request["day"])
            size = 24 * len(days) * len(names) * 4 * asked.cells(self.step)
            found.append(Part(f"{month}-{digest}.nc", size, size, request))
        return found

    def connect(self) -> Any:
        cdsapi = self.imported()
        there = Path(os.environ.get("CDSAPI_RC", "~/.cdsapirc")).expanduser().exists()
        if not there and not {"CDSAPI_URL", "CDSAPI_KEY"} <= set(os.environ):
            raise Invalid(
                f"fetch: {self.title} needs an account; put its address and key into {self.credentials}, "
                "as on https://cds.climate.copernicus.eu/how-to-api"
            )
        with warnings.catch_warnings():  # of news that could not be fetched
            warnings.simplefilter("ignore", UserWarning)
            return cdsapi.Client(
                quiet=True, progress=False, wait_until_complete=False, delete=False, retry_max=1, sleep_max=1
            )

    def fetch(self, connection: Any, part: Part, asked: Asked, path: Path) -> Iterator[int | str]:
        import requests

        note = path.with_suffix(".request")
        request = self._taken_up(connection, note) or connection.retrieve(DATASET, dict(part.about))
        if not hasattr(request, "request_id"):
            raise Invalid(f"fetch: {self.title} has a new kind of key since 2024; renew it at {self.page}")
        note.write_text(request.request_id)
        while not request.results_ready:
            yield from waiting(POLL, f"{request.status} in the queue")
        result = request.get_results()
        with requests.Session() as session:
            yield from download(session, result.location, path, result.content_length)
        note.unlink()

    def _taken_up(self, connection: Any, note: Path) -> Any:
        """The request that was begun before, if it is still known there and did not fail."""
        with contextlib.suppress(Exception):
            request = connection.client.get_remote(note.read_text())
            if request.status in ("accepted", "running", "successful"):
                return request
        return None


REMOTES: dict[str, Any] = {"cds-era5": Cds("ERA5 in the Climate Data Store", STEP, INTERVAL)}
