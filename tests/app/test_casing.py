"""``rainloom case``: words become sources, and a case is made of them."""

from __future__ import annotations

import pytest

from app.__main__ import main
from app.casing import named
from engine.sources import cases


def test_words_after_a_source_tell_of_it():
    one, other = named(
        ["a.nc", "unit=mm", "role=reference", "independent=true", "b=c.tif", "start=2016-07-01"]
    )
    assert (one.source, one.told, one.role, one.independent) == ("a.nc", {"unit": "mm"}, "reference", True)
    assert (other.source, other.told) == ("b=c.tif", {"start": "2016-07-01"})


def test_the_command_makes_a_case(home, small, capsys):
    words = ["small/satellite", "--domain", "110.5", "28.5", "112", "31", "--gauges", "small/gauges"]
    assert main(["case", "mine", *words, "--title", "A piece"]) == 0
    assert capsys.readouterr().out.strip() == str(home / "cases" / "mine.nc")
    case = cases()["mine"]
    assert (case.title, tuple(case.box), list(case.layers)) == (
        "A piece",
        (110.5, 28.5, 112, 31),
        ["satellite", "gauges"],
    )
    assert case.about["simulated"] == "true"
    assert main(["case", "mine", *words]) == 2
    assert "give another name, or --replace" in capsys.readouterr().err
    assert main(["case", "mine", *words, "--replace"]) == 0


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["nowhere.nc"], "no file nowhere.nc"),
        (["small/satellite", "--start", "2019-01-01", "--end", "2019-01-02"], "times are missing"),
        (["small/satellite", "--domain", "-10", "40", "0", "50"], "does not reach the domain"),
    ],
)
def test_what_cannot_be_made_is_one_line(home, small, capsys, words, why):
    assert main(["case", "mine", *words]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert why in error
