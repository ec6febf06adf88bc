"""Archives far away, played by a server on this machine and by stand-ins for the packages they need."""

import errno
import http.server
import io
import sys
import threading
import types
import zipfile

import h5py
import numpy as np
import pandas as pd
import pytest
import requests
import xarray as xr

from app import fetching
from engine import archives
from engine.archives import Asked, arco_era5, cds, fetched, plan, transfer
from engine.fields import Box, Period
from engine.quantities import notes
from engine.sources import open_any
from engine.values import Invalid

BODY = bytes(range(256)) * 40
BOX = Box(110, 29, 111, 30)
OPEN_ZARR = xr.open_zarr  # as it is where a test stands in for it


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """No test waits."""
    monkeypatch.setattr(transfer, "WAITS", (0, 0, 0))
    monkeypatch.setattr(transfer, "PIECE", 1000)
    monkeypatch.setattr(cds, "POLL", 0)


@pytest.fixture
def server():
    """Serves ``files``; ``plays`` says how, request by request: a status, a cut, a page, or none of these."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(served.plays.pop(0) if served.plays else 200)
            self.end_headers()

        def do_GET(self):
            play = served.plays.pop(0) if served.plays else ""
            served.asked.append((self.path, self.headers.get("Range")))
            if isinstance(play, int):
                self.send_response(play)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body, part = served.files[self.path], self.headers.get("Range")
            begin = int(part[6:-1]) if part and play != "whole" else 0
            self.send_response(206 if begin else 200)
            self.send_header("Content-Type", "text/html" if play == "page" else "application/octet-stream")
            self.send_header("Content-Length", str(len(body) - begin))
            self.end_headers()
            self.wfile.write(body[begin : begin + 3000] if play == "cut" else body[begin:])

        def log_message(self, *args):
            pass

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.files, served.plays, served.asked = {"/x": BODY}, [], []
    served.url = f"http://127.0.0.1:{served.server_port}"
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    served.shutdown()
    thread.join()
    served.server_close()


def bring(server, path, size: int | None = 10240, checksum=None):
    """A download with the attempts that every archive makes."""
    with requests.Session() as session:

        def once():
            yield from transfer.download(session, f"{server.url}/x", path, size, checksum)

        return list(transfer.attempts(once, "The archive", "~/.secrets", "https://terms"))


# Transfers


@pytest.mark.parametrize("size", [len(BODY), None])
def test_a_cut_transfer_goes_on_where_it_was_cut(server, tmp_path, size):
    server.plays = ["cut", "cut"]
    said = bring(server, tmp_path / "x", size)
    assert (tmp_path / "x").read_bytes() == BODY
    assert [part for _, part in server.asked] == [None, "bytes=3000-", "bytes=6000-"]
    assert said[-1] == len(BODY)
    assert any("cannot be reached" in str(each) or "incomplete" in str(each) for each in said)


def test_what_is_whole_is_not_asked_for(server, tmp_path):
    (tmp_path / "x").write_bytes(BODY)
    assert bring(server, tmp_path / "x") == []
    assert not server.asked


def test_a_server_that_knows_no_parts_sends_the_whole(server, tmp_path):
    (tmp_path / "x").write_bytes(BODY[:500])
    server.plays = ["whole"]
    bring(server, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == BODY


def test_what_is_longer_here_than_there_is_begun_anew(server, tmp_path):
    (tmp_path / "x").write_bytes(BODY + b"more")
    server.plays = [416]
    bring(server, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == BODY


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (401, r"does not know the credentials in ~/\.secrets; renew them at https://terms"),
        (403, r"refuses access; accept its terms at https://terms"),
        (404, "does not have what was asked for"),
    ],
)
def test_what_will_not_pass_is_told_at_once(server, tmp_path, status, told):
    server.plays = [status]
    with pytest.raises(Invalid, match=f"fetch: The archive {told}") as refused:
        bring(server, tmp_path / "x")
    assert "\n" not in str(refused.value)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_tried_again_a_few_times(server, tmp_path, status):
    server.plays = [status, status]
    assert f"is busy (HTTP {status}); again in 0 s" in bring(server, tmp_path / "x")
    (tmp_path / "x").unlink()
    server.plays, server.asked[:] = [status] * 9, []
    with pytest.raises(Invalid, match=r"is busy \(HTTP \d+\); what has come is kept, try again later"):
        bring(server, tmp_path / "x")
    assert len(server.asked) == 4


def test_waiting_is_said_every_second_so_that_it_can_be_stopped(monkeypatch):
    slept = []
    monkeypatch.setattr(transfer.time, "sleep", slept.append)
    assert list(transfer.waiting(2, "busy")) == [f"busy; again in {left} s" for left in (2, 1, 0)]
    assert slept == [1, 1]


def test_a_server_says_how_long_to_wait():
    answer = types.SimpleNamespace(status_code=429, headers={"Retry-After": "7000"})
    assert transfer._asked_to_wait(requests.HTTPError(response=answer)) == transfer.LONGEST_WAIT


def test_a_short_or_a_wrong_body_is_never_taken(server, tmp_path):
    with pytest.raises(Invalid, match="sent something incomplete"):
        bring(server, tmp_path / "x", size=len(BODY) + 5)
    (tmp_path / "x").unlink()
    with pytest.raises(Invalid, match="its checksum is not the one announced"):
        bring(server, tmp_path / "x", checksum=("MD5", "0" * 32))
    assert not (tmp_path / "x").exists()
    server.plays = ["page"]
    with pytest.raises(Invalid, match="refuses access; accept its terms"):
        bring(server, tmp_path / "x", size=None)


def test_no_network_is_said_in_one_line(tmp_path):
    nobody = types.SimpleNamespace(url="http://127.0.0.1:9")
    with pytest.raises(Invalid, match=r"cannot be reached, or broke off \(ConnectionError\)"):
        bring(nobody, tmp_path / "x")


def test_a_full_disk_is_told(tmp_path):
    def once():
        raise OSError(errno.ENOSPC, "No space left on device")
        yield

    with pytest.raises(Invalid, match="more than the disk can hold; free some, what has come is kept"):
        list(transfer.attempts(once, "The archive", "", ""))


def test_errors_of_other_libraries_are_understood():
    class HttpError(Exception):  # of gcsfs
        code = 503

    class ClientError(Exception):
        __module__ = "aiohttp.client_exceptions"

    assert transfer.trouble(HttpError(), "", "") == ("is busy (HTTP 503)", True)
    assert transfer.trouble(ClientError(), "", "")[1]
    assert transfer.trouble(ValueError("first\nsecond"), "", "") == (
        "could not give it (ValueError: first; second)",
        False,
    )


# ERA5 in Google's store


def asked(start="2020-07-01T22:00", end="2020-07-02T02:00", box=BOX, quantities=("rain",), step="1h"):
    return Asked(box, Period(start, end, step), quantities)


def era5(west=108.0) -> xr.Dataset:
    """As it is stored: from the north, in metres, an axis that reaches into the future."""
    times = pd.date_range("2020-07-01", "2020-07-05", freq="1h")
    lat, lon = np.arange(32, 27, -0.25), np.arange(west, west + 6, 0.25) % 360
    lon.sort()
    tp = np.random.default_rng(0).gamma(0.3, 1e-3, (len(times), len(lat), len(lon))).astype("f4")
    axes = {"time": times, "latitude": lat, "longitude": lon}
    whole = xr.Dataset({"total_precipitation": (tuple(axes), tp)}, axes)
    whole["2m_dewpoint_temperature"] = xr.full_like(whole.total_precipitation, 293.15)
    whole["surface_pressure"] = xr.full_like(whole.total_precipitation, 1e5)
    whole["10m_u_component_of_wind"] = whole.total_precipitation * 1000
    return whole.assign_attrs(valid_time_stop="2020-07-03")


@pytest.fixture
def google(server, monkeypatch):
    """A store in memory, and how often it was opened."""
    held = types.SimpleNamespace(store=era5(), opened=0)

    def open_zarr(where, **how):
        assert (where, how["storage_options"]) == (f"gs://{arco_era5.STORE}", {"token": "anon"})
        held.opened += 1
        return held.store

    monkeypatch.setattr(arco_era5, "WEB", server.url)
    monkeypatch.setitem(sys.modules, "gcsfs", types.ModuleType("gcsfs"))
    monkeypatch.setattr(arco_era5.xr, "open_zarr", open_zarr)
    return held


def test_hours_of_the_earth_become_one_file_of_the_domain(google, tmp_path):
    out = tmp_path / "x.nc"
    google.store.to_zarr(tmp_path / "store", zarr_format=2, consolidated=True)
    google.store = OPEN_ZARR(tmp_path / "store", chunks=None, consolidated=True)
    steps = list(fetched("arco-era5", asked(quantities=("humidity", "wind_u")), out))
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert steps[-1].done == steps[-1].total == 4 * 4 * arco_era5.CHUNK
    found = open_any(out)
    assert isinstance(found, xr.DataArray)
    assert list(found.indexes["time"]) == list(pd.date_range("2020-07-01T23:00", periods=4, freq="1h"))
    assert found.attrs["interval"] == "1h"
    expected = google.store.total_precipitation.sortby("latitude").sel(
        time=found.time.values, latitude=found.lat.values, longitude=found.lon.values
    )
    np.testing.assert_allclose(found.values, expected.values * 1000, rtol=1e-5, atol=1e-6)
    assert (found.lat.values[0], found.lon.values[-1]) == (28.5, 111.5)  # two cells around the domain
    with xr.open_dataset(out, engine="h5netcdf") as whole:
        assert whole.wind_u.attrs["units"] == "m s-1"
        np.testing.assert_allclose(whole.wind_u.values, expected.values * 1000, rtol=1e-5, atol=1e-6)
        # of a dew point of 20 degrees at 1000 hPa: e = 2338 Pa, q = 0.62198 e / (p - 0.37802 e)
        np.testing.assert_allclose(whole.humidity.values, 0.01467, rtol=2e-3)

    wind = open_any(out, variable="wind_u")
    assert isinstance(wind, xr.DataArray)
    np.testing.assert_allclose(wind.values, expected.values * 1000, rtol=1e-5, atol=1e-6)
    assert list(wind.indexes["time"]) == list(found.indexes["time"])


def test_what_is_in_the_cache_is_not_asked_for_again(google, tmp_path):
    list(fetched("arco-era5", asked(), tmp_path / "x.nc"))
    assert all(there for _, there in plan("arco-era5", asked()))
    google.store = None
    list(fetched("arco-era5", asked(), tmp_path / "y.nc"))
    assert google.opened == 1
    assert (tmp_path / "x.nc").read_bytes()[:8] == (tmp_path / "y.nc").read_bytes()[:8]
    with pytest.raises(Invalid, match="exists; choose another name"):
        next(fetched("arco-era5", asked(), tmp_path / "y.nc"))


def test_a_fetch_that_nobody_follows_any_more_stops_and_is_resumed(google, tmp_path):
    steps = fetched("arco-era5", asked(), tmp_path / "x.nc")
    while next(steps).done <= arco_era5.CHUNK:
        pass
    steps.close()
    assert [there for _, there in plan("arco-era5", asked())] == [True, False]
    assert not (tmp_path / "x.nc").exists()
    rest = list(fetched("arco-era5", asked(), tmp_path / "x.nc"))
    assert rest[0].done == arco_era5.CHUNK
    assert google.opened == 2


def test_a_damaged_part_is_named(google, tmp_path):
    list(fetched("arco-era5", asked(), tmp_path / "x.nc"))
    part = archives.cache("arco-era5") / plan("arco-era5", asked())[0][0].name
    part.write_bytes(part.read_bytes()[:2000])
    with pytest.raises(Invalid, match=f"may be damaged.*; remove {part} to fetch it again"):
        list(fetched("arco-era5", asked(), tmp_path / "y.nc"))
    assert not (tmp_path / "y.nc").exists()


@pytest.mark.parametrize(("status", "told"), [(403, "refuses access"), (503, r"is busy \(HTTP 503\)")])
def test_a_store_that_cannot_be_opened_is_told(server, google, tmp_path, status, told):
    server.plays = [status] * 4
    with pytest.raises(Invalid, match=f"fetch: ERA5 in Google's public store {told}"):
        list(fetched("arco-era5", asked(), tmp_path / "x.nc"))
    assert not google.opened


def test_two_do_not_fetch_the_same_at_once(google, tmp_path):
    first = fetched("arco-era5", asked(), tmp_path / "x.nc")
    next(first)
    with pytest.raises(Invalid, match="another process fetches from ERA5"):
        next(fetched("arco-era5", asked(), tmp_path / "y.nc"))
    first.close()
    assert next(fetched("arco-era5", asked(), tmp_path / "y.nc"))


def test_a_domain_on_both_sides_of_greenwich(google, tmp_path):
    google.store = era5(west=357.0)
    list(fetched("arco-era5", asked(box=Box(-1, 29, 1, 30)), tmp_path / "x.nc"))
    found = open_any(tmp_path / "x.nc")
    assert isinstance(found, xr.DataArray)
    np.testing.assert_allclose(found.lon, np.arange(-1.5, 1.75, 0.25))


def test_what_is_not_there_yet_is_told(google, tmp_path):
    late = asked("2020-07-04T00:00", "2020-07-04T02:00")
    with pytest.raises(Invalid, match="ends with 2020-07-03; choose an earlier period"):
        list(fetched("arco-era5", late, tmp_path / "x.nc"))
    google.store.total_precipitation[25] = np.nan
    with pytest.raises(Invalid, match="has nothing at 2020-07-02 01:00:00"):
        list(fetched("arco-era5", asked(), tmp_path / "x.nc"))


def test_a_package_that_is_not_installed_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(Invalid, match=r"needs gcsfs; install it with: pip install gcsfs .*\[cloud\]"):
        list(fetched("arco-era5", asked(), tmp_path / "x.nc"))


def test_what_the_disk_cannot_hold_is_refused_before_it_comes(google, monkeypatch, tmp_path):
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=1000))
    with pytest.raises(Invalid, match=r"needs about 0\.0 GB, 0\.0 GB are free"):
        list(fetched("arco-era5", asked(), tmp_path / "x.nc"))
    assert not google.opened


@pytest.mark.parametrize(
    ("name", "wanted", "told"),
    [
        ("nasa", {}, "got archive 'nasa'; give one of arco-era5, cds-era5, imerg"),
        (
            "imerg",
            {"quantities": ("wind_u",), "step": "30min"},
            "IMERG, Final run has no wind_u; it has rain",
        ),
        ("imerg", {}, "has steps of 30min, not of 1h"),
        ("arco-era5", {"start": "1990-01-01", "box": Box(-180, -90, 180, 90)}, "are too many"),
    ],
)
def test_what_an_archive_cannot_give_is_refused(name, wanted, told):
    with pytest.raises(Invalid, match=told):
        plan(name, asked(**wanted))


def test_notes_of_many_parts_are_told_once():
    parts = [
        xr.DataArray(0.0, attrs={"notes": f"the Final run\n{count} values are zero"}) for count in (7, 9)
    ]
    assert archives._told(parts) == ["the Final run", "7 values are zero (in one part, and alike in others)"]


def test_the_order_of_what_is_asked_for_does_not_matter():
    one, other = (asked(quantities=each) for each in (("wind_u", "humidity"), ("humidity", "rain", "wind_u")))
    assert one == other
    assert plan("arco-era5", one) == plan("arco-era5", other)


def test_a_quantity_that_is_none_is_refused():
    with pytest.raises(Invalid, match="got quantity 'snow'; known are rain, humidity"):
        asked(quantities=("snow",))


# The Climate Data Store


def answer() -> bytes:
    """What comes for two days in a month: what gathers and what is of its instant, in a ZIP."""
    whole = era5().sel(time=slice("2020-07-01", "2020-07-02T23:00"))
    whole = whole.rename(time="valid_time").assign_attrs(
        institution="European Centre for Medium-Range Weather Forecasts", Conventions="CF-1.7"
    )
    names = {"tp": ("total_precipitation", "m"), "u10": ("10m_u_component_of_wind", "m s**-1")}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for short, (name, unit) in names.items():
            one = whole[[name]].rename({name: short})
            one[short].attrs["units"] = unit
            member = io.BytesIO()
            one.to_netcdf(member, engine="h5netcdf")
            file.writestr(f"data_{short}.nc", member.getvalue())
    return packed.getvalue()


@pytest.fixture
def copernicus(server, monkeypatch, tmp_path):
    """A queue of three looks at whose end there is a file."""
    monkeypatch.setenv("CDSAPI_RC", str(tmp_path / "cdsapirc"))
    for name in ("CDSAPI_URL", "CDSAPI_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "cdsapirc").write_text("")
    server.files["/result"] = answer()
    held = types.SimpleNamespace(
        requests=[], taken_up=[], states=["accepted", "running"], fails="", refusal=0
    )

    class Request:
        request_id = "one"

        @property
        def status(self):
            return "failed" if held.fails else held.states[0] if held.states else "successful"

        @property
        def results_ready(self):
            if held.fails:
                raise RuntimeError(held.fails)
            return not (held.states and held.states.pop(0))

        def get_results(self):
            return types.SimpleNamespace(
                location=f"{server.url}/result", content_length=len(server.files["/result"])
            )

    class Client:
        def __init__(self, **how):
            assert how["wait_until_complete"] is False
            self.client = self

        def retrieve(self, name, request):
            held.requests.append((name, request))
            if held.refusal:
                raise requests.HTTPError(response=types.SimpleNamespace(status_code=held.refusal, headers={}))
            return Request()

        def get_remote(self, identity):
            held.taken_up.append(identity)
            return Request()

    monkeypatch.setitem(sys.modules, "cdsapi", types.SimpleNamespace(Client=Client))
    return held


def test_a_request_a_month_and_a_zip_by_another_name(copernicus, tmp_path):
    steps = list(fetched("cds-era5", asked(quantities=("wind_u",)), tmp_path / "x.nc"))
    ((name, request),) = copernicus.requests
    assert name == "reanalysis-era5-single-levels"
    assert request["area"] == [30.5, 109.5, 28.5, 111.5]
    assert (request["year"], request["month"], request["day"]) == (["2020"], ["07"], ["01", "02"])
    assert request["variable"] == ["total_precipitation", "10m_u_component_of_wind"]
    assert (request["data_format"], len(request["time"])) == ("netcdf", 24)
    assert any("running in the queue" in step.stage for step in steps)
    found = open_any(tmp_path / "x.nc")
    assert isinstance(found, xr.DataArray)
    store = era5().total_precipitation.sortby("latitude")
    expected = store.sel(time=found.time.values, latitude=found.lat.values, longitude=found.lon.values)
    np.testing.assert_allclose(found.values, expected.values * 1000, rtol=1e-4, atol=1e-4)


def test_who_leaves_the_queue_keeps_the_place(copernicus, tmp_path):
    steps = fetched("cds-era5", asked(), tmp_path / "x.nc")
    while "queue" not in next(steps).stage:
        pass
    steps.close()
    list(fetched("cds-era5", asked(), tmp_path / "x.nc"))
    assert len(copernicus.requests) == 1
    assert copernicus.taken_up == ["one"]
    assert not list(archives.cache("cds-era5").glob(".*.request"))


def test_a_request_that_failed_there_is_told_and_not_taken_up_again(copernicus, tmp_path):
    copernicus.fails = "job failed\nno fields match"
    for _ in range(2):
        with pytest.raises(Invalid, match=r"could not give it \(RuntimeError: job failed; no fields match\)"):
            list(fetched("cds-era5", asked(), tmp_path / "x.nc"))
    assert len(copernicus.requests) == 2


@pytest.mark.parametrize(
    ("refusal", "told"), [(403, "accept its terms at .*manage-licences"), (401, "renew")]
)
def test_a_licence_that_was_not_accepted_is_told(copernicus, tmp_path, refusal, told):
    copernicus.refusal = refusal
    with pytest.raises(Invalid, match=told):
        list(fetched("cds-era5", asked(), tmp_path / "x.nc"))
    assert len(copernicus.requests) == 1


def test_an_account_is_asked_for_by_the_name_of_its_file(copernicus, tmp_path):
    (tmp_path / "cdsapirc").unlink()
    with pytest.raises(Invalid, match=r"needs an account; put its address and key into ~/\.cdsapirc"):
        list(fetched("cds-era5", asked(), tmp_path / "x.nc"))


# IMERG


@pytest.fixture
def nasa(server, monkeypatch):
    """A catalogue of granules, and who may enter."""
    held = types.SimpleNamespace(searches=[], strategies=[], known=True)

    class LoginStrategyUnavailable(Exception):
        pass

    def login(strategy):
        held.strategies.append(strategy)
        if strategy == "environment" or not held.known:
            raise LoginStrategyUnavailable
        return types.SimpleNamespace(authenticated=True)

    class Granule(dict):
        def data_links(self, access):
            return [f"{server.url}/{self['name']}"]

    def search_data(short_name, version, temporal):
        held.searches.append((short_name, version, temporal))
        found = []
        for name, body in server.files.items():
            if name.startswith("/2020"):
                told = [{"SizeInBytes": len(body), "Checksum": {"Algorithm": "SM3", "Value": "?"}}]
                begins = {"RangeDateTime": {"BeginningDateTime": f"{name[1:].replace('_', ':')}.000Z"}}
                umm = {"TemporalExtent": begins, "DataGranule": {"ArchiveAndDistributionInformation": told}}
                found.append(Granule(name=name[1:], umm=umm))
        return found

    session = requests.Session()
    fake = types.SimpleNamespace(
        login=login, search_data=search_data, get_requests_https_session=lambda: session
    )
    monkeypatch.setitem(sys.modules, "earthaccess", fake)
    for minutes in (0, 30):
        start = pd.Timestamp("2020-07-01T12:00") + pd.Timedelta(minutes, "min")
        server.files[f"/{start:%Y-%m-%dT%H_%M_%S}"] = granule(start, minutes / 30)
    yield held
    session.close()


def granule(start: pd.Timestamp, value: float) -> bytes:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.attrs["FileHeader"] = "FileName=3B-HHR.MS.MRG.3IMERG;\nTimeInterval=HALF_HOUR;\n"
        file["Grid/time"] = [int((start - pd.Timestamp("1980-01-06")).total_seconds())]
        file["Grid/time"].attrs["units"] = "seconds since 1980-01-06 00:00:00 UTC"
        file["Grid/lat"], file["Grid/lon"] = 28.05 + 0.1 * np.arange(30), 109.05 + 0.1 * np.arange(30)
        file["Grid/precipitation"] = np.full((1, 30, 30), value, "f4")
        file["Grid/precipitation"].attrs["units"] = "mm/hr"
    return content.getvalue()


def test_granules_are_looked_up_once_a_day_and_cut_to_the_domain(server, nasa, tmp_path):
    wanted = asked("2020-07-01T12:00", "2020-07-01T13:00", step="30min")
    server.plays = ["cut"]
    list(fetched("imerg", wanted, tmp_path / "x.nc"))
    assert nasa.searches == [("GPM_3IMERGHH", "07", ("2020-07-01T00:00:00", "2020-07-01T23:59:59"))]
    assert nasa.strategies == ["environment", "netrc"]
    found = open_any(tmp_path / "x.nc")
    assert isinstance(found, xr.DataArray)
    assert list(found.indexes["time"]) == [pd.Timestamp("2020-07-01T12:30"), pd.Timestamp("2020-07-01T13:00")]
    np.testing.assert_array_equal(found.values, np.ones((2, 14, 14)) * [[[0]], [[1]]])
    assert found.attrs["interval"] == "30min"
    assert found.attrs["independent"] == "false"
    with xr.open_dataset(tmp_path / "x.nc", engine="h5netcdf") as whole:
        assert any("gauge analysis" in line for line in notes(whole.rain))
    part = plan("imerg", asked("2020-07-01T12:00", "2020-07-01T13:00", Box(10, 10, 11, 11), step="30min"))
    assert all(there for _, there in part)  # a granule is of the whole Earth


def test_a_granule_that_is_not_there_is_named(nasa, tmp_path):
    with pytest.raises(Invalid, match="has no granule of 2020-07-01 13:00:00"):
        list(fetched("imerg", asked("2020-07-01T13:00", "2020-07-01T14:00", step="30min"), tmp_path / "x.nc"))


def test_nobody_is_asked_for_a_password(nasa, tmp_path):
    nasa.known = False
    with pytest.raises(Invalid, match=r"needs an account; make one as on https://disc.* into ~/\.netrc"):
        list(fetched("imerg", asked("2020-07-01T12:00", "2020-07-01T13:00", step="30min"), tmp_path / "x.nc"))
    assert nasa.strategies == ["environment", "netrc"]


# The command


def options(text: str):
    parser = fetching.argparse.ArgumentParser()
    fetching.arguments(parser)
    return parser.parse_args(text.split())


def test_the_command_says_what_would_come_and_then_fetches_it(google, tmp_path, capsys):
    period = "--start 2020-07-01T22:00 --end 2020-07-02T02:00"
    dry = fetching.rows(options(f"arco-era5 --domain 110 29 111 30 {period} --dry-run"))
    assert [row["in the cache"] for row in dry] == ["no", "no"]
    assert not google.opened
    (told,) = fetching.rows(options(f"arco-era5 --domain=110,29,111,30 {period} --out {tmp_path / 'x.nc'}"))
    assert told["file"] == str(tmp_path / "x.nc")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) < 12
    assert "fetched in" in lines[-1]
    assert (
        fetching.rows(options(f"arco-era5 --domain 110 29 111 30 {period} --dry-run"))[0]["in the cache"]
        == "yes"
    )


def test_the_command_lists_archives_and_asks_for_what_is_lacking():
    listed = {row["archive"]: row for row in fetching.rows(options(""))}
    assert {"arco-era5", "cds-era5", "imerg", "imerg-late", "imerg-early"} <= set(listed)
    assert "~/.netrc" in listed["imerg"]["credentials"]
    with pytest.raises(Invalid, match="give --domain, --end"):
        fetching.rows(options("imerg --start 2020-07-01"))
