"""The commands, in a subprocess, as a person or a program uses them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import xarray as xr

from engine.runs import Store

ROOT = Path(__file__).resolve().parents[1]


def rainloom(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app", *arguments]
    return subprocess.run(
        command, cwd=ROOT, input=given, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def path(task, tmp_path) -> str:
    file = tmp_path / "task.yaml"
    file.write_text(task.to_yaml())
    return str(file)


def test_run_score_export_and_find_again(path, tmp_path):
    done = rainloom("run", path)
    assert done.returncode == 0, done.stderr
    assert "100%" not in done.stdout
    assert "8 of 8 members" in done.stderr
    with xr.open_zarr(done.stdout.strip(), chunks=None) as whole:
        assert whole.rain.sizes["member"] == 8

    again = rainloom("run", path, "--json")
    assert "already computed" in again.stderr
    (row,) = json.loads(again.stdout)
    assert row["state"] == "done"

    scored = rainloom("score", row["run"])
    assert scored.returncode == 0, scored.stderr
    for metric in ("CRPS", "MAE of the mean", "spread/skill"):
        assert metric in scored.stdout

    written = rainloom("export", row["run"][:12], "--to", "netcdf", "-o", str(tmp_path / "x.nc"))
    assert written.returncode == 0, written.stderr
    with xr.open_dataset(tmp_path / "x.nc", engine="h5netcdf") as whole:
        assert whole.rain.shape == (8, 6, 16, 16)
    assert rainloom("export", row["run"], "-o", str(tmp_path / "x.nc")).returncode == 2

    listed = rainloom("runs", "--json")
    assert [each["run"] for each in json.loads(listed.stdout)] == [row["run"]]


def test_lists_are_tables_or_json(small):
    assert "kriging" in rainloom("methods").stdout
    settings = json.loads(rainloom("methods", "kriging", "--json").stdout)
    assert all(each["what it does"] for each in settings)
    assert "small/satellite" in rainloom("cases").stdout


def test_inspect_tells_what_a_file_holds_and_what_it_was_told(small, tmp_path, home):
    assert "40 gauges" in rainloom("inspect", "small/gauges").stdout
    path = tmp_path / "gauges.csv"
    path.write_text("time,gauge,lat,lon,rain\n2020-07-01T01:00,a,47,8,350\n2020-07-01T02:00,a,47,8,1\n")
    refused = rainloom("inspect", str(path))
    assert refused.returncode == 2
    assert "unit" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    told = json.loads(rainloom("inspect", str(path), "unit=mm", "stamp=start", "--json").stdout)
    assert {"what": "to", "found": "2020-07-01 03:00:00 UTC"} in told["sections"]["period"]
    assert any("350 mm/h" in each for each in told["warnings"])
    assert "unit: mm" in told["entry"]

    (home / "sources.yaml").write_text(told["entry"].replace("gauges:", "ours:", 1))
    (row,) = json.loads(rainloom("sources", "--json").stdout)
    assert (row["source"], row["there"]) == ("ours", "yes")
    again = rainloom("inspect", "ours")
    assert "350" in again.stdout
    assert "warnings" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("run", "nope.yaml"), "no file nope.yaml"),
        (("score", "nope"), "no run 'nope'"),
        (("inspect", "nope.nc"), "no file nope.nc"),
        (("inspect", "small/nope"), "no such layer"),
        (("inspect", "small/truth", "unit"), "tell it as unit=mm"),
        (("inspect", "README.md", "README.md"), "several files are one source as a pattern in quotes"),
        (("inspect", "README.md", "columns=rain:RR"), "give them as columns='{rain: RR}'"),
        (("fetch", "nope"), "got archive 'nope'; give one of"),
        (("inspect", "small/truth", "unit=mm"), "needs to be told nothing"),
        (("inspect", "README.md", "--as", "nope"), "reader: got 'nope'; give one of"),
        (("methods", "krigging"), "did you mean 'kriging'"),
        (("serve", "--port", "99999"), "give a number from 1 to 65535"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(small, arguments, told):
    refused = rainloom(*arguments)
    assert refused.returncode == 2
    assert told in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_ctrl_c_keeps_finished_members_and_resume_completes(task, tmp_path, home):
    import dataclasses

    many = dataclasses.replace(task, members=150)
    command = [sys.executable, "-m", "app", "run", "-"]
    # A shell's background job ignores the interrupt, and so would its children.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    running = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    assert running.stdin
    running.stdin.write(many.to_yaml())
    running.stdin.close()
    deadline = time.monotonic() + 60
    while True:
        store = Store()
        runs = store.runs()
        store.close()
        if runs and runs[0].done > 2:
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    assert running.wait(30) == 130
    assert running.stderr
    assert "cancelled" in running.stderr.read()
    running.stderr.close()
    (row,) = json.loads(rainloom("runs", "--json").stdout)
    assert row["state"] == "cancelled"
    assert rainloom("resume", row["run"]).returncode == 0
    (row,) = json.loads(rainloom("runs", "--json").stdout)
    assert row["members"] == "150/150"
