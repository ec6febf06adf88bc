"""Stories: case studies as scenes, each a text and a stored view of the live page.

A story is one YAML in `assets/stories`; whoever adds a file adds a story. It names the case it is told on. A
scene has a title, a text and a *view*, the query of a link, all but the view in English and Chinese. What a
text says in numbers stands once under ``figures`` and is filled in, so both languages say the same, and a
test computes each of them anew.

Some cases cannot be shipped. Their story says under ``needs`` what to get and by which commands; until its
case is there, a scene shows its view ``instead``, on a case that is.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import param
import yaml

from app import store
from app.state import RUN, State
from engine.sources.cases import cases

FOLDER = Path(__file__).resolve().parents[1] / "assets" / "stories"
Text = Mapping[str, str]  # by language


@dataclass(frozen=True)
class Scene:
    title: Text
    text: Text
    view: str
    instead: str = ""


@dataclass(frozen=True)
class Needs:
    """What has to be there first: files, where they come from, and the commands that make the case."""

    about: Text
    commands: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Story:
    name: str
    case: str
    title: Text
    about: Text
    scenes: tuple[Scene, ...]
    figures: Mapping[str, Any] = field(default_factory=dict)
    needs: Needs | None = None

    @property
    def there(self) -> bool:
        """Whether the case that it is told on is installed."""
        return self.case in cases()

    @property
    def reachable(self) -> bool:
        """Whether the files that its case is made from lie in the folder ``RAINLOOM_DATA``."""
        folder = os.environ.get("RAINLOOM_DATA")
        files = self.needs.files if self.needs else ()
        return bool(folder and files) and all((Path(str(folder)) / each).exists() for each in files)

    def text(self, number: int, language: str) -> str:
        """The paragraphs of a scene, with its figures in them."""
        return self.scenes[number].text[language].format(**self.figures)

    def view(self, number: int) -> str:
        """The query of a scene; a layer that its case does not have becomes the first one that it has."""
        scene = self.scenes[number]
        said = dict(parse_qsl(scene.view if self.there or not scene.instead else scene.instead))
        layers = store.fields(store.case(said["case"]))
        if said.get("layer", RUN) not in (RUN, *layers):
            said["layer"] = layers[0]
        return urlencode(said, safe=":/")


@functools.cache
def stories() -> dict[str, Story]:
    """Every story by name, in the order of their files."""
    return {path.stem.partition("-")[2]: _story(path) for path in sorted(FOLDER.glob("*.yaml"))}


def _story(path: Path) -> Story:
    told = yaml.safe_load(path.read_text(encoding="utf-8"))
    scenes = tuple(Scene(**each) for each in told.pop("scenes"))
    needs = told.pop("needs", None)
    if needs:
        needs = Needs(**needs | {"files": tuple(needs.get("files", ()))})
    return Story(path.stem.partition("-")[2], scenes=scenes, needs=needs, **told)


def show(state: State, story: Story, number: int) -> None:
    """Set the page to a scene."""
    with param.parameterized.batch_call_watchers(state):
        state.param.update(story=story.name, scene=number)
        state.follow(story.view(number))
