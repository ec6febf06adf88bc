"""What each map of the Explore screen shows, from the choices of the page.

The first map shows what the page shows: its layer, its run, its statistic. What the others show stands in one
short text that travels in the link: for each a layer, or a run with its statistic, as
``satellite,run~kriging-1a2b~p90,run~kriging-1a2b~member~3``. A link may come from anywhere: whatever it names
that is not here, and a map that nothing was said of, shows the next source of the case.
"""

from __future__ import annotations

from app import store
from app.pictures import Shown
from app.raster import STATISTICS
from app.state import RUN, State
from engine.sources.cases import Case

MOST = 4  # maps


def first(state: State) -> Shown:
    """What the page shows."""
    return _shown(state.case, state.layer, state.run, state.statistic, state.above, state.member)


def all_of(state: State, case: Case) -> list[Shown]:
    """What the maps show, as many as may be."""
    told = [*state.others.split(","), *[""] * MOST]
    found = [first(state)]
    for text in told[: MOST - 1]:
        found.append(read(text, case) or _next(case, found))
    return found


def choose(state: State, case: Case, place: int, shown: Shown) -> None:
    """Have one map show something else."""
    if place == 0:
        choice = {"statistic": shown.statistic} if shown.layer == RUN else {}
        choice |= {"run": shown.run} if shown.layer == RUN else {}
        choice |= {"member": shown.member} if shown.statistic == "member" else {}
        choice |= {"above": shown.above} if shown.statistic == "above" else {}
        state.param.update(layer=shown.layer, **choice)
        return
    others = all_of(state, case)[1:]
    others[place - 1] = shown
    kept = max(place, len(state.others.split(",")) if state.others else 0)
    state.others = ",".join(write(each) for each in others[:kept])


def write(shown: Shown) -> str:
    if shown.layer != RUN:
        return shown.layer
    number = {"member": f"{shown.member}", "above": f"{shown.above:g}"}.get(shown.statistic, "")
    return "~".join(part for part in (RUN, shown.run, shown.statistic, number) if part)


def read(text: str, case: Case) -> Shown | None:
    """What a text says; nothing if it is not here."""
    layer, run, statistic, number = [*text.split("~"), "", "", ""][:4]
    if layer != RUN:
        return _shown(case.name, layer) if layer in store.fields(case) else None
    found = store.run(run)
    if found is None or store.case_of(found.task) != case.name:
        return None
    try:
        above, member = (float(number), 0) if statistic == "above" else (5.0, int(number or 0))
    except ValueError:
        above, member = 5.0, 0
    known = statistic if statistic in STATISTICS else "mean"
    above, member = above if 0.1 <= above <= 500 else 5.0, member if 0 <= member <= 999 else 0
    return _shown(case.name, RUN, run, known, above, member)


def _shown(
    case: str, layer: str, run: str = "", statistic: str = "mean", above: float = 0, member: int = 0
) -> Shown:
    """Nothing in it that it does not depend on, so that equal pictures have equal names."""
    if layer != RUN:
        return Shown(case, layer)
    number = above if statistic == "above" else 0.0
    return Shown(case, RUN, run, statistic, number, member if statistic == "member" else 0)


def _next(case: Case, taken: list[Shown]) -> Shown:
    fields = store.fields(case)
    named = {each.layer for each in taken}
    return Shown(case.name, next((name for name in fields if name not in named), fields[0]))
