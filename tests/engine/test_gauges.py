"""Gauge tables as people keep them: what is told by the table, what must be told, what is refused."""

import gzip

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from engine.fields import Observations
from engine.intervals import TIMES, rain_unit
from engine.quantities import notes
from engine.reading.spellings import measure
from engine.sources import ghcn, open_any, opensense, reader_of, reports
from engine.values import Invalid

HEAD = "time,gauge,lat,lon,rain_mm\n"
RAIN = [[0.5, 1.0], [0.0, 2.5]]  # of a and b, at two hours
HOURS = pd.DatetimeIndex(["2021-08-23T09:00", "2021-08-23T10:00"])


def written(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def long(times=("2021-08-23 09:00", "2021-08-23 10:00"), comma=",", point=".", head=HEAD):
    """The same four reports in the manner of a country."""
    lines = [head.replace(",", comma)]
    for row, time in enumerate(times):
        for name, lat, rain in (("a", "52.3058", RAIN[0][row]), ("b", "52.4", RAIN[1][row])):
            cells = [time, name, lat.replace(".", point), f"4{point}67", f"{rain}".replace(".", point)]
            lines.append(comma.join(cells) + "\n")
    return "".join(lines)


def same(found):
    assert isinstance(found, Observations)
    assert found.names == ["a", "b"]
    np.testing.assert_allclose(found.values, RAIN, rtol=1e-6)
    np.testing.assert_allclose(found.lat, [52.3058, 52.4])
    assert list(found.rain.indexes["time"]) == list(HOURS)
    return "\n".join(notes(found.rain))


# Letters and layout


@pytest.mark.parametrize(
    ("comma", "encoding"), [(",", "utf-8"), (";", "utf-8-sig"), ("\t", "utf-16"), ("|", "cp1252")]
)
def test_delimiters_and_letters_are_found(tmp_path, comma, encoding):
    text = long(comma=comma).replace("time", "# Föhr, 1 km; 2|3\n# more\ntime", 1)
    told = same(open_any(written(tmp_path / "x.txt", text, encoding)))
    assert "2 lines of preamble" in told
    assert ("latin1" in told) == (encoding == "cp1252")


def test_a_decimal_comma_and_blanks_between_columns(tmp_path):
    same(open_any(written(tmp_path / "x.csv", long(comma=";", point=","))))
    same(
        open_any(
            written(tmp_path / "y.csv", long(comma="  ", times=["2021-08-23T09:00", "2021-08-23T10:00"]))
        )
    )


def test_quoted_cells_remarks_packing_and_lines_that_end_in_a_delimiter(tmp_path):
    text = long(head='time,gauge,lat,lon,"rain, total (mm)"\n').replace('"rain, total (mm)"', '"rain (mm)"')
    text = text.replace(",a,", ',"a",').replace("\n2021-08-23 10", "\n# a remark\n2021-08-23 10", 1)
    assert "1 lines of remarks" in same(open_any(written(tmp_path / "x.csv", text)))
    text = long(comma=";").replace("\n", ";\n")
    same(open_any(written(tmp_path / "y.csv", text)))
    (tmp_path / "z").write_bytes(gzip.compress(long().encode()))
    same(open_any(tmp_path / "z"))


def test_names_above_the_table_are_not_its_names(tmp_path):
    text = "Station,A\nLatitude,52.5\ntime,rain (mm)\n2021-08-23 09:00,1\n2021-08-23 10:00,2\n"
    places = written(tmp_path / "p.csv", "gauge,lat,lon\nA,52.5,4\n")
    found = reports.read(written(tmp_path / "x.csv", text), places)
    assert found.values.tolist() == [[1, 2]]


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x81\xff" * 99,
        long().encode("utf-16-le"),
        gzip.compress(long().encode())[:60],
        b"RDX3\n",
        b"a,b\n1,2\n",
    ],
)
def test_what_is_no_table_is_refused_in_a_line(tmp_path, content):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(Invalid) as refused:
        open_any(tmp_path / "x.csv")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (long() + "2021-08-23 10:00,c,52,4,1,9\n", "row 5 has more than 5 columns"),
        (long() + "2021-08-23 10:00,c,52,4,1,9,9\n", "its rows are not of 5 columns"),
        (long() + "2021-08-23 10:00,c,52,4,wet\n", "got rain 'wet'; give a number"),
        (long(head="time,gauge,lat,lat,rain\n"), "two columns are named 'lat'"),
        (HEAD, "no line of column names"),
        (long(head="time,gauge,lat,lon,wet\n"), "which column is rain"),
        (long(head="day,gauge,lat,lon,rain\n"), "which column is time"),
        (long(head="time,gauge,y,x,rain_mm\n"), "which column is lat"),
        (long(head="time,gauge,lat,lon,rain\n"), "no unit"),
        (long(head="time,gauge,lat,lon,rain (furlong)\n"), "furlong"),
    ],
)
def test_what_cannot_be_told_is_asked_for(tmp_path, text, told):
    with pytest.raises(Invalid, match=told) as refused:
        reports.read(written(tmp_path / "x.csv", text))
    assert "\n" not in str(refused.value)
    assert "x.csv" in str(refused.value)


def test_two_columns_of_rain_must_be_chosen_from(tmp_path):
    text = "time,gauge,lat,lon,rain,precip\n2021-08-23T09:00,a,52,4,1,2\n2021-08-23T10:00,a,52,4,1,2\n"
    path = written(tmp_path / "x.csv", text)
    with pytest.raises(Invalid, match="which of rain, precip is rain"):
        reports.read(path, unit="mm")
    assert reports.read(path, unit="mm", columns={"rain": "precip"}).values.max() == 2


# Names and units


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ("时间,站号,纬度,经度,降水量(mm)\n", "utf-8"),
        ("时间,站号,纬度,经度,降水量(毫米)\n", "gb18030"),
        ("Zeitstempel,Station,Breite,Länge,Niederschlag [mm]\n", "cp1252"),
        ("horodate,station,latitude,longitude,précipitations (mm/h)\n", "cp1252"),
        ("fecha hora,estación,latitud,longitud,lluvia_mm\n", "utf-8"),
    ],
)
def test_names_in_five_languages(tmp_path, head, encoding):
    path = written(tmp_path / "x.csv", long(head=head), encoding)
    same(open_any(path))
    assert [row["taken for"] for row in reports.contents(path)] == ["time", "gauge", "lat", "lon", "rain"]


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("0.1 mm", 0.1), ("1/10 mm", 0.1), ("inch", 25.4), ("0.01 in", 0.254),
     ("mm/10min", 6), ("mm/day", 1 / 24), ("tenths of mm", 0.1), ("l/m²", 1),
     ("0,1 mm", 0.1), ("mm per 15 min", 4)],
)  # fmt: skip
def test_units_as_people_write_them(unit, factor):
    text, share = measure(unit)
    depth, per = rain_unit(text) or (np.nan, "")
    assert share * depth / (TIMES[per] if per else 1) == pytest.approx(factor)


def test_a_unit_that_is_told_is_a_factor(tmp_path):
    found = reports.read(written(tmp_path / "x.csv", long(head="time,gauge,lat,lon,rain\n")), unit="1/10 mm")
    np.testing.assert_allclose(found.values, np.multiply(RAIN, 0.1), rtol=1e-5)


# Numbers


def rain_of(tmp_path, cells, **about):
    """One gauge with these cells, hour by hour."""
    times = pd.date_range("2021-08-23", periods=len(cells), freq="1h")
    lines = [f"{time.isoformat()};a;52.5;4.5;{cell}\n" for time, cell in zip(times, cells, strict=True)]
    path = written(tmp_path / "x.csv", HEAD.replace(",", ";") + "".join(lines))
    found = reports.read(path, **{"interval": "1h"} | about)
    return found.values[0].tolist(), "\n".join(notes(found.rain))


def test_words_codes_and_traces_are_counted(tmp_path):
    found, told = rain_of(tmp_path, ["", "NA", "-", "-999", "-9999.0", "9999", "T", "<0.1", "0.2", "0"])
    np.testing.assert_allclose(found, [np.nan] * 6 + [0.1, 0.05, 0.2, 0], rtol=1e-6)
    for line in (
        "2 cells of rain hold a word",
        "1 values are -999,",
        "1 values are -9999",
        "1 values are 9999",
    ):
        assert line in told
    assert "2 values are traces, which count as half of the least amount" in told


def test_a_code_that_may_be_rain_is_asked_about(tmp_path):
    with pytest.raises(
        Invalid, match=r"holds 999, which may be rain or mean missing; give missing, as \[999\]"
    ):
        rain_of(tmp_path, ["999", "500", "3"], unit="0.1 mm")
    assert np.isnan(rain_of(tmp_path, ["-7", "0"], missing=-7)[0][0])
    assert rain_of(tmp_path, ["999", "500"], unit="0.1 mm", missing=[])[0] == pytest.approx([99.9, 50])
    assert np.isnan(rain_of(tmp_path, ["999", "500"], unit="0.1 mm", missing=[999])[0][0])
    with pytest.raises(Invalid, match="mark what is missing"):
        rain_of(tmp_path, ["-1", "0"])


def test_decimal_marks_are_decided_by_all_numbers(tmp_path):
    path = tmp_path / "x.csv"
    head = "time;rain\n2021-08-23T00:00;{}\n2021-08-23T01:00;{}\n"
    places = written(tmp_path / "places.csv", "gauge,lat,lon\nanything,52.5,4.5\n")

    def read(one, other, **about):
        written(path, head.format(one, other))
        return reports.read(path, places, unit="mm", **about).values[0].tolist()

    assert read("1,5", "2") == pytest.approx([1.5, 2])
    assert read("1.234,5", "2,5") == pytest.approx([1234.5, 2.5])
    assert read("1,234.5", "2.5") == pytest.approx([1234.5, 2.5])
    assert read("1,234", "0,5") == pytest.approx([1.234, 0.5])
    with pytest.raises(Invalid, match="1,234 could be two numbers; give decimal"):
        read("1,234", "2")
    with pytest.raises(Invalid, match="got rain '1,2,3'"):
        read("1,2,3", "2")
    assert read("1 234,5", "2") == pytest.approx([1234.5, 2])
    assert read("1,234", "2", decimal=",") == pytest.approx([1.234, 2])
    with pytest.raises(Invalid, match=r"both 2\.5 and 1,5 stand in it"):
        read("1,5", "2.5")


# Times


@pytest.mark.parametrize(
    ("times", "about", "told"),
    [
        (("23.08.2021 09:00", "23.08.2021 10:00"), {}, "dmy, the only order that fits all"),
        (("08/23/2021 9:00 AM", "08/23/2021 10:00 AM"), {}, "mdy, the only order"),
        (("2021082309", "2021082310"), {}, "taken for UTC"),
        (("1629709200", "1629712800"), {"date_order": "epoch"}, "seconds since 1970"),
        (("2021-08-23T17:00+08:00", "2021-08-23T18:00+08:00"), {}, "brought to UTC, from +08:00"),
        (("2021-08-23 17:00", "2021-08-23 18:00"), {"zone": "Asia/Shanghai"}, "from Asia/Shanghai"),
        (("2021-08-23 05:00", "2021-08-23 06:00"), {"zone": "-04:00"}, "from -04:00"),
        (("23-Aug-2021 09:00", "23-Aug-2021 10:00"), {}, "taken for UTC"),
    ],
)
def test_times_as_people_write_them(tmp_path, times, about, told):
    assert told in same(reports.read(written(tmp_path / "x.csv", long(times)), **about))


@pytest.mark.parametrize(
    ("head", "cells", "about"),
    [
        ("date,time,gauge,lat,lon,rain_mm", ["2021-08-23,09:00", "2021-08-23,10:00"], {}),
        ("Datum,Uhrzeit,gauge,lat,lon,rain_mm", ["23.08.2021,9:00", "23.08.2021,10:00"], {}),
        ("year,month,day,hour,gauge,lat,lon,rain_mm", ["2021,8,23,9", "2021,8,23,10"], {}),
        ("年,月,日,时,站号,纬度,经度,降水量(mm)", ["2021,8,23,9", "2021,8,23,10"], {}),
        ("year,month,day,hour,minute,gauge,lat,lon,rain_mm", ["2021,8,23,9,0", "2021,8,23,10,0"], {}),
        ("时间(北京时),站号,纬度,经度,降水量(mm)", ["2021-08-23 17:00", "2021-08-23 18:00"], {}),
        ("unixtime,gauge,lat,lon,rain_mm", ["1629709200", "1629712800"], {}),
        ("time (UTC+8),gauge,lat,lon,rain_mm", ["2021-08-23 17:00", "2021-08-23 18:00"], {}),
        (
            "time_local,gauge,lat,lon,rain_mm",
            ["2021-08-23 11:00", "2021-08-23 12:00"],
            {"zone": "Europe/Berlin"},
        ),
    ],
)
def test_a_day_and_its_clock_and_the_zone_of_a_name(tmp_path, head, cells, about):
    same(reports.read(written(tmp_path / "x.csv", long(cells, head=head + "\n")), **about))


def test_times_that_are_not_certain_are_refused(tmp_path):
    path = tmp_path / "x.csv"
    for times, about, told in (
        (("03.08.2021", "04.08.2021"), {}, "03.08.2021 could be two days; give date_order, dmy or mdy"),
        (("23.08.2021", "08.23.2021"), {}, "in two orders"),
        (("2021-08-23 09:00 CST", "2021-08-23 10:00 CST"), {}, "in CST, which is not one zone"),
        (("2021-08-23T09:00Z", "2021-08-23T10:00"), {}, "write one with every time"),
        (("2021-08-23T09:00Z", "2021-08-23T10:00Z"), {"zone": "+01:00"}, "leave zone away"),
        (("2021-02-30 09:00", "2021-02-28 10:00"), {}, "got time '2021-02-30 09:00'"),
        (
            ("2021-03-28 02:30", "2021-03-28 03:30"),
            {"zone": "Europe/Berlin"},
            "02:30 does not exist in Europe",
        ),
        (
            ("2021-10-31 02:30", "2021-10-31 03:30"),
            {"zone": "Europe/Berlin"},
            "02:30 happened twice in Europe",
        ),
        (("2021-08-23", "2021-08-24"), {"zone": "Mars"}, "give one as Asia/Shanghai"),
    ):
        with pytest.raises(Invalid, match=told):
            reports.read(written(path, long(times)), **about)
    with pytest.raises(Invalid, match="its times are in UTC, as their column says; leave zone away"):
        reports.read(written(path, long(head="time (UTC),gauge,lat,lon,rain_mm\n")), zone="+08:00")
    with pytest.raises(Invalid, match="its times are local; give zone"):
        reports.read(written(path, long(head="time (local),gauge,lat,lon,rain_mm\n")))
    found = reports.read(written(path, long(("03.08.2021", "04.08.2021"))), date_order="mdy", interval="1h")
    assert list(found.rain.indexes["time"]) == [pd.Timestamp("2021-03-08"), pd.Timestamp("2021-04-08")]


def test_the_hour_of_autumn_is_told_apart_by_its_order_in_each_gauge(tmp_path):
    hours = ["01:00", "02:00", "02:00", "03:00"]
    lines = [f"2021-10-31 {hour},{name},52,4,1\n" for name in "ab" for hour in hours]
    found = reports.read(written(tmp_path / "x.csv", HEAD + "".join(lines)), zone="Europe/Berlin")
    assert list(found.rain.indexes["time"]) == list(pd.date_range("2021-10-30T23:00", periods=4, freq="1h"))


@pytest.mark.parametrize(
    ("times", "about", "first"),
    [
        (("2021-08-23", "2021-08-24"), {}, "2021-08-24"),  # the day that the date names, as in a grid's file
        (("2021-08-23 00:00", "2021-08-24 00:00"), {}, "2021-08-24"),
        (("2021-08-23", "2021-08-24"), {"zone": "Asia/Shanghai"}, "2021-08-23T16:00"),
        (("2021-08-23", "2021-08-24"), {"stamp": "end"}, "2021-08-23"),
        (("2021-08-23 06:00", "2021-08-24 06:00"), {}, "2021-08-23T06:00"),
        (("2021-08-01", "2021-09-01"), {}, "2021-09-01"),
        (("2021-08-01 00:00", "2021-09-01 00:00"), {}, "2021-09-01"),
        (("2021-08-01", "2021-09-01"), {"stamp": "end"}, "2021-08-01"),
    ],
)
def test_a_date_names_its_day_or_its_month(tmp_path, times, about, first):
    found = reports.read(written(tmp_path / "x.csv", long(times)), **about)
    assert found.rain.indexes["time"][0] == pd.Timestamp(first)
    assert ("stamp" in "\n".join(notes(found.rain))) == ("stamp" not in about)


def test_midnight_is_the_end_of_a_day(tmp_path):
    text = long(("2021-08-23 23:00", "2021-08-23 24:00"))
    found = reports.read(written(tmp_path / "x.csv", text))
    assert found.rain.indexes["time"][1] == pd.Timestamp("2021-08-24")
    assert "24:00" in "\n".join(notes(found.rain))


# Intervals, doubles, counters, tips


def test_gaps_are_gaps_and_not_longer_intervals(tmp_path):
    times = [f"2021-08-23 {hour:02d}:00" for hour in (0, 1, 2, 3, 7, 8)]
    text = HEAD + "".join(f"{time},a,52,4,1\n" for time in times)
    found = open_any(written(tmp_path / "x.csv", text))
    assert isinstance(found, Observations)
    assert found.rain.attrs["interval"] == "1h"
    assert (found.values == 1).all()
    assert "3 of 9 times have no reports at all" in notes(found.rain)
    with pytest.raises(Invalid, match="its reports stand 1h apart, so they are not over 24h"):
        reports.read(tmp_path / "x.csv", interval="1D")


def test_two_intervals_in_one_table_are_refused(tmp_path):
    lines = [f"2021-08-23 {minute // 60:02d}:{minute % 60:02d},a,52,4,1\n" for minute in range(0, 240, 5)]
    lines += [f"2021-08-23 {hour:02d}:00,b,52,5,1\n" for hour in range(4)]
    with pytest.raises(Invalid, match="gauge a reports every 5min, gauge b every 1h; read them apart"):
        reports.read(written(tmp_path / "x.csv", HEAD + "".join(lines)))
    found = reports.read(tmp_path / "x.csv", interval="5min")
    assert "1 gauges report more rarely than every 5min" in "\n".join(notes(found.rain))


def test_equal_doubles_are_dropped_with_a_note(tmp_path):
    text = long() + "2021-08-23 10:00,b,52.4,4.67,2.5\n"
    assert "1 reports stand twice, word for word" in same(open_any(written(tmp_path / "x.csv", text)))
    wide = "time,a\n2021-08-23 09:00,1\n2021-08-23 10:00,2\n2021-08-23 10:00,{}\n"
    places = written(tmp_path / "p.csv", "gauge,lat,lon\na,52,4\n")
    found = reports.read(written(tmp_path / "w.csv", wide.format(2)), places, unit="mm")
    assert found.values.tolist() == [[1, 2]]
    with pytest.raises(Invalid, match="10:00:00 stands twice, with different rain"):
        reports.read(written(tmp_path / "w.csv", wide.format(3)), places, unit="mm")


def test_places_as_the_german_weather_service_lists_them(tmp_path):
    written(tmp_path / "p.txt", "Stations_id;geoBreite;geoLaenge;Stationshoehe\n44;52.9;8.2;44\n")
    text = "STATIONS_ID;MESS_DATUM;QN_8;R1\n44;2021082300;3;0.0\n44;2021082301;3;1.2\n44;2021082302;3;-999\n"
    found = open_any(written(tmp_path / "x.txt", text), places="p.txt", unit="mm")
    assert isinstance(found, Observations)
    np.testing.assert_allclose(found.values, [[0, 1.2, np.nan]], rtol=1e-6)
    assert (found.lat[0], found.lon[0], found.elevation[0]) == pytest.approx((52.9, 8.2, 44))


def test_places_beside_the_table_and_gauges_without_one(tmp_path):
    written(tmp_path / "p.csv", "station;breite;länge;höhe\na;52,5;4,5;7\n")
    path = written(tmp_path / "x.csv", "time,station,rain_mm\n2021-08-23 09:00,a,1\n2021-08-23 10:00,a,2\n")
    found = open_any(path, places="p.csv")
    assert isinstance(found, Observations)
    assert (found.lat[0], found.elevation[0]) == (52.5, 7)
    written(path, "time,station,rain_mm\n2021-08-23 09:00,a,1\n2021-08-23 10:00,c,2\n")
    with pytest.raises(Invalid, match="no place for c"):
        reports.read(path, places="p.csv", interval="1h")
    with pytest.raises(Invalid, match="which column is lat"):
        reports.read(path, interval="1h")
    with pytest.raises(Invalid, match="no such file"):
        reports.read(path, places="nowhere.csv", interval="1h")


def test_a_counter_is_read_as_its_rises(tmp_path):
    rises = np.tile([0.2, 0, 0.4, 1, 0.2, 0.2, 0, 3, 0.6, 0.2], 3)
    cells = [f"{each:g}" for each in np.round(100 + np.cumsum(rises), 1)]
    found, told = rain_of(tmp_path, [*cells, "0.2"])
    assert "a counter that only grows" in told
    assert "1 resets of the counters" in told
    assert np.isnan(found[0])
    np.testing.assert_allclose(found[1:], [*rises[1:], 0.2], atol=1e-5)
    assert "counter" not in rain_of(tmp_path, ["0", "1", "0", "2", "0"])[1]


def test_a_storm_that_begins_everywhere_is_no_counter(tmp_path):
    reports_of = [(hour, gauge, (gauge + 1) * hour / 10) for hour in (1, 2, 3) for gauge in range(12)]
    lines = [f"2021-08-23 0{hour}:00,g{gauge},52,4.{gauge},{rain}\n" for hour, gauge, rain in reports_of]
    found = reports.read(written(tmp_path / "x.csv", HEAD + "".join(lines)))
    assert "counter" not in "\n".join(notes(found.rain))
    assert float(found.rain.sum()) == pytest.approx(sum(rain for *_, rain in reports_of))


def test_a_counter_that_begins_again_every_day(tmp_path):
    fell = np.zeros(24 * 5)
    fell[[3, 4, 9, 30, 31, 50, 60, 61, 80, 81, 100, 101]] = np.arange(1, 13) / 10
    shown = fell.reshape(5, 24).cumsum(1).ravel()  # of the day so far; its last hour is the whole day
    times = pd.date_range("2021-08-23T01:00", periods=120, freq="1h")
    lines = [f"{time:%Y-%m-%d %H:%M},a,52,4,{rain:.1f}\n" for time, rain in zip(times, shown, strict=True)]
    found = reports.read(written(tmp_path / "x.csv", HEAD + "".join(lines)))
    assert "a counter that only grows" in "\n".join(notes(found.rain))
    np.testing.assert_allclose(found.values[0][1:], fell[1:], atol=1e-6)


def test_a_counter_rolls_over_and_skips_gaps(tmp_path):
    found, told = rain_of(tmp_path, ["99.4", "99.8", "0.2", "0.2", "", "0.8", "0.7", "1.1"], cumulative=True)
    np.testing.assert_allclose(found, [np.nan, 0.4, 0.4, 0, np.nan, np.nan, 0, 0.4], atol=1e-5)
    for line in ("1 rollovers", "1 small falls", "1 rises over gaps are missing"):
        assert line in told


def test_a_counter_is_a_depth(tmp_path):
    with pytest.raises(Invalid, match="a counter counts depths, its unit is mm/h"):
        rain_of(tmp_path, ["1", "2"], unit="mm/h", cumulative=True)
    growing = [f"{each}" for each in range(20)]
    assert rain_of(tmp_path, growing, unit="mm/h")[0] == list(range(20))
    assert rain_of(tmp_path, growing, cumulative=False)[0] == list(range(20))


def test_months_are_divided_by_their_own_hours(tmp_path):
    text = HEAD + "2021-01-01,a,52,4,744\n2021-02-01,a,52,4,672\n2021-03-01,a,52,4,7.44\n"
    found = reports.read(written(tmp_path / "x.csv", text), stamp="start")
    np.testing.assert_allclose(found.values, [[1, 1, 0.01]])
    assert found.rain.attrs["interval"] == "1mo"


def test_tips_are_summed_over_an_interval(tmp_path):
    times = ["09:01:10", "09:04:59", "09:05:00", "09:17:30"]
    text = "time,gauge,lat,lon\n" + "".join(f"2021-08-23 {time},a,52,4\n" for time in times)
    path = written(tmp_path / "x.csv", text)
    with pytest.raises(Invalid, match="give interval, as 5min"):
        reports.read(path, tip=0.2)
    found = reports.read(path, tip=0.2, interval="5min")
    np.testing.assert_allclose(found.values[0] / 12, [0.6, 0, 0, 0.2], atol=1e-6)
    assert found.rain.indexes["time"][0] == pd.Timestamp("2021-08-23T09:05")
    assert "4 tips of 0.2 mm were summed over 5min" in "\n".join(notes(found.rain))
    with pytest.raises(Invalid, match="not evenly spaced"):
        reports.read(written(path, text.replace("lon\n", "lon,rain_mm\n", 1).replace(",4\n", ",4,1\n")))


# OpenSense


def test_opensense_times_names_and_units_that_are_not_said(tmp_path):
    with h5py.File(tmp_path / "x.nc", "w") as file:
        file["rainfall"] = np.array([[1, np.nan, 2], [0, 0, 0.5]])
        file["time"] = np.array([0, 300, 600], float) + 1.5e9
        file["time"].attrs["unit"] = "seconds since 1970-01-01 00:00:00"
        file["id"], file["lat"], file["lon"] = [7.0, 8.0], [52.0, 53.0], [4.0, 5.0]
        for name, axis in (("rainfall", ("id", "time")), ("lat", ("id",)), ("lon", ("id",))):
            file["id"].make_scale("id") if not file["id"].is_scale else None
            file["time"].make_scale("time") if not file["time"].is_scale else None
            for at, each in enumerate(axis):
                file[name].dims[at].attach_scale(file[each])
    found = open_any(tmp_path / "x.nc")
    assert isinstance(found, Observations)
    assert found.names == ["7", "8"]
    np.testing.assert_allclose(found.values, [[12, np.nan, 24], [0, 0, 6]])
    assert found.rain.indexes["time"][0] == pd.Timestamp("2017-07-14T02:40")
    assert "taken for mm" in "\n".join(notes(found.rain))
    with h5py.File(tmp_path / "x.nc", "a") as file:
        del file["time"].attrs["unit"]
    with pytest.raises(Invalid, match="do not say since when they count"):
        open_any(tmp_path / "x.nc")


def test_microwave_links_are_no_gauges(tmp_path):
    levels = (("cml_id", "time"), np.zeros((2, 3)))
    times = pd.date_range("2021-01-01", periods=3, freq="1min")
    xr.Dataset({"tsl": levels, "rsl": levels}, {"time": times}).to_netcdf(
        tmp_path / "x.nc", engine="h5netcdf"
    )
    assert opensense.sniff(tmp_path / "x.nc")
    with pytest.raises(Invalid, match=r"microwave links \(tsl\), not gauges"):
        opensense.read(tmp_path / "x.nc")


# GHCN-hourly: a sample in the layout of NOAA's documentation

GHCN = "Station_ID|Station_name|Year|Month|Day|Hour|Minute|Latitude|Longitude|Elevation|temperature|"
GHCN += "precipitation|precipitation_Measurement_Code|precipitation_Quality_Code|precipitation_Report_Type|"
GHCN += "precipitation_Source_Code|precipitation_6_hour|precipitation_6_hour_Measurement_Code\n"
REPORTS = [  # minute of the day, mm, measurement, quality, type, source, six hours
    (9 * 60 + 53, "1.0", "", "5", "FM15-METAR", "343", ""),
    (10 * 60 + 9, "0.5", "", "5", "FM16-SPECI", "343", ""),  # a running total
    (10 * 60 + 53, "2.0", "", "5", "FM15-METAR", "343", ""),
    (10 * 60 + 57, "0.1", "", "5", "FM16-SPECI", "343", ""),  # since 10:53
    (11 * 60 + 53, "0.0", "2-Trace", "5", "FM15-METAR", "343", ""),
    (12 * 60, "", "", "", "FM12-SYNOP", "343", "6.0"),
    (12 * 60 + 53, "80.0", "", "3", "FM15-METAR", "343", ""),  # erroneous
    (14 * 60, "50.0", "", "A", "H-derived-HPD", "382", ""),  # several hours
    (15 * 60, "7.0", "4-End accumulated", "", "FM12-SYNOP", "343", ""),
    (16 * 60, "3.0", "", "", "FM12-SYNOP", "343", ""),
]


def ghcnh(path):
    lines = [
        f"USW00094728|NEW YORK, NY|2024|07|04|{minute // 60:02d}|{minute % 60:02d}|40.77898|-73.96925|42.7|"
        f"20.0|{amount}|{measured}|{quality}|{kind}|{source}|{six}|\n"
        for minute, amount, measured, quality, kind, source, six in REPORTS
    ]
    return written(path, GHCN + "".join(lines))


def test_ghcn_hours_are_their_last_routine_report(tmp_path):
    path = ghcnh(tmp_path / "x.psv")
    assert reader_of(path) is ghcn
    found = open_any(path)
    assert isinstance(found, Observations)
    assert found.names == ["USW00094728"]
    assert found.elevation[0] == 42.7
    hours = [each.hour for each in found.rain.indexes["time"]]
    assert dict(zip(hours, np.round(found.values[0], 3).tolist(), strict=True)) == {
        10: 1,
        11: 2,
        12: 0.05,
        16: 3,
    }
    told = "\n".join(notes(found.rain))
    for line in ("2 reports within an hour were left", "1 values are traces", "1 amounts are accumulated",
                 "2 amounts failed a check", "hour that they close"):  # fmt: skip
        assert line in told


def test_ghcn_totals_of_six_hours_are_asked_for(tmp_path):
    path = ghcnh(tmp_path / "x.psv")
    found = ghcn.read(path, interval="6h")
    assert (found.values.tolist(), found.rain.attrs["interval"]) == ([[1.0]], "6h")
    assert found.rain.indexes["time"][0] == pd.Timestamp("2024-07-04T12:00")
    with pytest.raises(
        Invalid, match=r"no rain over 3h; give interval, of 1h \(9 amounts\), 6h \(1 amounts\)"
    ):
        ghcn.read(path, interval="3h")
    assert [row["taken for"] for row in ghcn.contents(path)] == ["rain", "rain, if interval is 6h"]


def test_ghcn_with_a_date_column_and_damage(tmp_path):
    head = "STATION|DATE|LATITUDE|LONGITUDE|ELEVATION|precipitation\n"
    rows = "A|2024-07-04T09:51:00|40|-74|1|1.5\nB|2024-07-04T09:00:00|41|-74|-999.9|0.0\n"
    found = open_any(written(tmp_path / "x.psv", head + rows))
    assert isinstance(found, Observations)
    np.testing.assert_allclose(found.values, [[np.nan, 1.5], [0, np.nan]])
    assert np.isnan(found.elevation[1])
    for text, told in (
        (head.replace("|DATE", "|WHEN") + rows, "neither DATE nor Year"),
        (head + rows.replace("1.5", "wet"), "got precipitation 'wet'"),
        (head + rows.replace("40|-74", "|"), "station A has no latitude"),
        (head + rows.replace("1.5", "1.5|2|3"), "line 2 has not the 6 columns"),
        (head + rows[:-9], "line 3 has not the 6 columns"),
        (head, "give interval, of none"),
    ):
        with pytest.raises(Invalid, match=told):
            ghcn.read(written(tmp_path / "y.psv", text))
