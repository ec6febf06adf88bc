"""A task: everything that decides a result, in one value that a person can read, keep and send.

Domain, period, sources and their roles, gauges used and held out, the method with its settings, how
many members, and the seed. The page, the command line and a script all end in the same `Task`; it
round-trips through YAML, and equal tasks have equal hashes, so that what was computed once is found
again. Bad input is refused with one line that names the entry, its value and what would do.
"""

from __future__ import annotations

import bisect
import difflib
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

import yaml

from engine.fields import KM_PER_DEGREE, Box, Grid, Observations, Period
from engine.values import Invalid, brief, number, plain_yaml, whole

Role = Literal["background", "predictor", "history", "reference"]
ROLES: Mapping[str, str] = {
    "background": "an estimate of the same rain, with errors: evidence for the method",
    "predictor": "another quantity (humidity, wind, ...) that a method may use",
    "history": "a background or predictor of other years, the whole of it: how a simulation errs",
    "reference": "kept from the method, only for judging its result",
}
MOST_MEMBERS = 1000
MOST_CELLS = 10**11  # members x times x cells: 400 GB of float32


def entries(name: str, value: Any, known: Iterable[str]) -> dict[str, Any]:
    """A mapping with known keys only."""
    if not isinstance(value, Mapping):
        raise Invalid(f"{name}: got {brief(value)}; give entries such as {', '.join(list(known)[:3])}")
    for key in value:
        if key not in set(known):
            near = difflib.get_close_matches(str(key), list(known), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise Invalid(f"{name}.{brief(key)[1:-1]}: unknown entry; {hint}")
    return dict(value)


def names_of(cls: type) -> list[str]:
    return [each.name for each in fields(cls)]


@dataclass(frozen=True)
class Use:
    """A source in a role. Its name is ``case/layer`` or the path of a file.

    ``independent`` says whether it knows nothing of the gauges; if not given, what the source says counts.
    """

    name: str
    role: Role = "background"
    independent: bool | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise Invalid(f"source.name: got {brief(self.name)}; give a layer as front/satellite, or a path")
        if self.role not in get_args(Role):
            raise Invalid(f"source.role: got {brief(self.role)} for {self.name}; give {', '.join(ROLES)}")
        if self.independent not in (None, True, False):
            raise Invalid(
                f"source.independent: got {brief(self.independent)} for {self.name}; give true or false"
            )

    @classmethod
    def of(cls, value: Any) -> Use:
        if isinstance(value, Use):
            return value
        if isinstance(value, str):
            return cls(value)
        told = entries("source", value, names_of(cls))
        told.setdefault("name", "")
        return cls(**told)


By = Literal["gauge", "block", "elevation"]
BANDS_M = (200.0, 500.0, 1000.0, 2000.0, 3000.0)  # where strata of elevation part


@dataclass(frozen=True)
class Gauges:
    """Which gauges speak and which are held out to judge the result.

    ``hold_out`` is a share (0.2) or the names themselves. A share is drawn from a hash of the seed and of
    what is drawn, ``by``:

    - *gauge*: each by its name;
    - *block*: squares of ``block_km`` on the Earth, whole, so that a gauge held out has no near neighbour;
    - *elevation*: from each stratum (up to 200, 500, 1000, 2000, 3000 m and above) the same share, one at
      least where there are two.

    By gauge and by block, adding or losing a gauge never moves another one to the other side.
    """

    source: str
    hold_out: float | tuple[str, ...] = 0.2
    seed: int = 0
    ignore: tuple[str, ...] = ()
    by: By = "gauge"
    block_km: float = 100.0

    def __post_init__(self) -> None:
        if not isinstance(self.source, str) or not self.source.strip():
            raise Invalid(f"gauges.source: got {brief(self.source)}; give a layer as front/gauges, or a path")
        held: Any = self.hold_out
        if isinstance(held, list | tuple):
            held = tuple(sorted(str(each) for each in held))
        else:
            held = number("gauges.hold_out", held, 0, 0.95)
        object.__setattr__(self, "hold_out", held)
        object.__setattr__(self, "seed", whole("gauges.seed", self.seed, 0, 2**63 - 1))
        if not isinstance(self.ignore, list | tuple):
            raise Invalid(f"gauges.ignore: got {brief(self.ignore)}; give a list of gauge names")
        object.__setattr__(self, "ignore", tuple(sorted(str(each) for each in self.ignore)))
        if self.by not in get_args(By):
            raise Invalid(f"gauges.by: got {brief(self.by)}; give {', '.join(get_args(By))}")
        object.__setattr__(self, "block_km", number("gauges.block_km", self.block_km, 1, 5000))

    @property
    def design(self) -> str:
        """How the gauges are chosen that are held out, in words."""
        if isinstance(self.hold_out, tuple):
            return f"{len(self.hold_out)} by hand"
        how = {
            "gauge": "drawn gauge by gauge",
            "block": f"in blocks of {self.block_km:g} km",
            "elevation": "alike from each stratum of elevation",
        }
        return f"{self.hold_out:.0%} {how[self.by]}, seed {self.seed}"

    def split(self, gauges: Observations | Iterable[str]) -> tuple[list[str], list[str]]:
        """The names in use and the names held out, in the order given. By block and by elevation the
        places are needed, by gauge or by hand names do."""
        known = gauges if isinstance(gauges, Observations) else None
        given = gauges.names if isinstance(gauges, Observations) else gauges
        names = [name for name in given if name not in set(self.ignore)]
        if isinstance(self.hold_out, tuple):
            if unknown := set(self.hold_out) - set(names):
                raise Invalid(f"gauges.hold_out: no gauge {sorted(unknown)[0]!r} in {self.source}")
            held = set(self.hold_out)
        elif self.by == "gauge":
            held = {name for name in names if self._draw(name) < self.hold_out}
        elif known is None:
            raise Invalid(f"gauges.by: {self.by} needs the places of the gauges, not their names alone")
        else:
            draw = self._blocks if self.by == "block" else self._strata
            held = set(draw(known, names, self.hold_out))
        return [name for name in names if name not in held], [name for name in names if name in held]

    def _draw(self, name: str) -> float:
        digest = hashlib.sha256(f"{self.seed}/{name}".encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64

    def _blocks(self, gauges: Observations, names: list[str], share: float) -> Iterator[str]:
        at = dict(zip(gauges.names, zip(gauges.lat.tolist(), gauges.lon.tolist(), strict=True), strict=True))
        side = self.block_km / KM_PER_DEGREE
        for name in names:
            row = math.floor(at[name][0] / side)
            wide = side / max(math.cos(math.radians((row + 0.5) * side)), 0.01)
            if self._draw(f"block {row} {math.floor(at[name][1] / wide)}") < share:
                yield name

    def _strata(self, gauges: Observations, names: list[str], share: float) -> Iterator[str]:
        high = dict(zip(gauges.names, gauges.elevation.tolist(), strict=True))
        if unknown := [name for name in names if math.isnan(high[name])]:
            where = f"of {unknown[0]} in {self.source} ({len(unknown)} such)"
            raise Invalid(f"gauges.by: the elevation {where} is not known; hold out by gauge or block")
        strata: dict[int, list[str]] = {}
        for name in sorted(names, key=self._draw):
            strata.setdefault(bisect.bisect_right(BANDS_M, high[name]), []).append(name)
        for stratum in strata.values():
            least = 1 if len(stratum) > 1 and share else 0
            yield from stratum[: max(least, round(share * len(stratum)))]


@dataclass(frozen=True)
class Task:
    """What was asked for. `hash` covers all of it except the title."""

    domain: Box
    step: float
    period: Period
    method: str
    sources: tuple[Use, ...] = ()
    gauges: Gauges | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    members: int = 16
    seed: int = 0
    title: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "domain", Box.of(self.domain))
        object.__setattr__(self, "step", Grid(self.domain, self.step).step)
        if not isinstance(self.period, Period):
            period = entries("period", self.period, names_of(Period))
            if lacking := {"start", "end"} - set(period):
                raise Invalid(f"period.{sorted(lacking)[0]}: missing; give a time such as 2020-07-01T00:00")
            object.__setattr__(self, "period", Period(**period))
        if not isinstance(self.method, str) or not self.method:
            raise Invalid(f"method: got {brief(self.method)}; give a name such as kriging")
        if isinstance(self.sources, str | Mapping) or not isinstance(self.sources, Iterable):
            raise Invalid(f"sources: got {brief(self.sources)}; give a list such as [front/satellite]")
        object.__setattr__(self, "sources", tuple(Use.of(each) for each in self.sources))
        if self.gauges is not None and not isinstance(self.gauges, Gauges):
            named: Any = {"source": self.gauges} if isinstance(self.gauges, str) else self.gauges
            gauges: dict[str, Any] = {"source": ""} | entries("gauges", named, names_of(Gauges))
            object.__setattr__(self, "gauges", Gauges(**gauges))
        if not isinstance(self.settings, Mapping):
            raise Invalid(f"settings: got {brief(self.settings)}; give entries such as radius: 50")
        for key, value in self.settings.items():
            if not isinstance(value, str | bool):
                number(f"settings.{brief(key)[1:-1]}", value)
        object.__setattr__(self, "settings", {str(key): value for key, value in self.settings.items()})
        object.__setattr__(self, "members", whole("members", self.members, 1, MOST_MEMBERS))
        object.__setattr__(self, "seed", whole("seed", self.seed, 0, 2**63 - 1))
        object.__setattr__(self, "title", str(self.title or ""))
        cells = self.members * len(self.period.times) * self.grid.shape[0] * self.grid.shape[1]
        if cells > MOST_CELLS:
            raise Invalid(
                f"task: {cells:.2g} values are too many; ask for a smaller domain, period or ensemble"
            )

    @property
    def grid(self) -> Grid:
        return Grid(self.domain, self.step)

    @property
    def hash(self) -> str:
        told = {key: value for key, value in self.as_entries().items() if key != "title"}
        return hashlib.sha256(json.dumps(_plain(told), sort_keys=True).encode()).hexdigest()

    def __hash__(self) -> int:
        return hash(self.hash)

    def as_entries(self) -> dict[str, Any]:
        """Plain lists, numbers and text, as YAML and JSON hold them."""
        told = {each.name: getattr(self, each.name) for each in fields(self)}
        period = self.period
        told["domain"] = list(self.domain)
        told["period"] = {
            "start": period.start.isoformat(),
            "end": period.end.isoformat(),
            "step": period.interval,
        }
        told["sources"] = [_told(each, "independent") for each in self.sources]
        if self.gauges is not None:
            told["gauges"] = json.loads(json.dumps(_told(self.gauges, "by", "block_km")))
        return told

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.as_entries(), sort_keys=False, allow_unicode=True)

    @classmethod
    def of(cls, value: Any) -> Task:
        """From a mapping as `as_entries` gives it."""
        known = entries("task", value, names_of(cls))
        for name in ("domain", "step", "period", "method"):
            if name not in known:
                raise Invalid(f"task.{name}: missing; see the README for a whole task")
        return cls(**known)

    @classmethod
    def of_yaml(cls, text: str) -> Task:
        return cls.of(plain_yaml(text, "task"))


def _told(part: Use | Gauges, *spared: str) -> dict[str, Any]:
    """All entries, those spared only where they differ from what goes without saying."""
    usual = {each.name: each.default for each in fields(part)}
    return {name: value for name, value in asdict(part).items() if name not in spared or value != usual[name]}


def _plain(value: Any) -> Any:
    """Equal values written alike: 2.0 as 2, in lists and mappings too."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
