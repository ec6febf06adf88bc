"""What the commands tell of a run or of a source: rows for a table or for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine.fields import Observations
from engine.values import Invalid

if TYPE_CHECKING:
    from engine.runs import Run, Store


def scores(store: Store, run: Run) -> list[dict[str, Any]]:
    """The ensemble and its raw backgrounds at the gauges held out, judged by these gauges, and by the truth
    at the same places where there is one."""
    from engine.diagnostics.scores import at_gauges, of_run
    from engine.sources import field_of, held_out, references

    gauges = held_out(run.task)
    if gauges is None or not len(gauges):
        raise Invalid(f"score: run {run.id} held no gauges out; set gauges.hold_out: 0.2 and run again")
    backgrounds = [use.name for use in run.task.sources if use.role == "background"]
    raw = {name: field_of(name).sel(time=run.task.period.times) for name in backgrounds}
    judges = {"gauges": gauges}
    judges |= {name: Observations(at_gauges(rain, gauges)) for name, rain in references(run.task).items()}
    ensemble = store.ensemble(run.id).load()
    return [
        {"judged by": name} | row
        for name, judge in judges.items()
        for row in of_run(ensemble, judge, raw, run.task.method)
    ]


def side_by_side(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a method, a column a metric."""
    table: dict[str, dict[str, Any]] = {}
    for row in rows:
        about = {name: row[name] for name in ("judged by", "method", "members", "n")}
        one = table.setdefault(f"{row['judged by']} {row['method']}", about)
        one[row["metric"]] = "{value:.3f} ({low:.3f} to {high:.3f})".format(**row)
    return list(table.values())


def findings(name: str) -> dict[str, str]:
    """What a file or a layer holds, and how it was read."""
    from engine.sources import layer

    found = layer(name)
    rain = found.rain if isinstance(found, Observations) else found
    values = rain.values
    told = {
        "kind": f"{len(found)} gauges" if isinstance(found, Observations) else "field",
        "quantity": f"{rain.name} in {rain.attrs.get('units', 'no unit given')}",
        "dimensions": ", ".join(f"{axis} {size}" for axis, size in rain.sizes.items()),
    }
    if "units_found" in rain.attrs:
        told["unit in the file"] = rain.attrs["units_found"]
    if "time" in rain.dims:
        times = rain.indexes["time"]
        told["period"] = f"{times[0]} to {times[-1]} UTC, each the end of {rain.attrs.get('interval', '?')}"
    for axis in ("lat", "lon"):
        told[axis] = f"{float(rain[axis].min()):g} to {float(rain[axis].max()):g}"
    known = values[values == values]
    told["missing"] = f"{1 - known.size / values.size:.2%}"
    told["range"] = (
        f"{known.min():.4g} to {known.max():.4g}, mean {known.mean():.4g}" if known.size else "nothing"
    )
    return told
