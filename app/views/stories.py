"""Stories: the screen that lists them, and the panel that tells one beside the live page.

A scene sets the page to its stored view and is then nothing but a text: the page stays as free as it is, so
the reader may step through the hours or ask for another source, and the next scene sets it again. "Take over"
leaves the story and keeps the view.
"""

from __future__ import annotations

import re
from html import escape

import panel as pn
import panel_material_ui as pmui

from app.state import State
from app.stories import Story, show, stories
from app.theme import Words, sheet
from app.views import View


class Stories(View):
    """A card for each story; one whose case is not here says how it is made."""

    screen = "stories"

    def __init__(self, state: State, say: Words) -> None:
        super().__init__(state, say)
        head = f"<h1>{escape(say('screen_stories'))}</h1><p>{escape(say('stories_about'))}</p>"
        self._there = [story.there for story in stories().values()]
        self._cards = pn.FlexBox(gap="20px", align_items="stretch", sizing_mode="stretch_width", margin=0)
        inner = pn.Column(
            pn.pane.HTML(head, stylesheets=[sheet("welcome")], sizing_mode="stretch_width", margin=0),
            self._cards,
            styles={"max-width": "1180px", "margin": "0 auto", "padding": "32px 32px 40px"},
            sizing_mode="stretch_width",
        )
        self.panel = pn.Column(inner, sizing_mode="stretch_both", margin=0, scroll="y")
        self._list()

    def follow(self) -> None:
        """A case may have been made since."""
        if self._there != (now := [story.there for story in stories().values()]):
            self._there = now
            self._list()

    def _list(self) -> None:
        self._cards[:] = [self._card(story) for story in stories().values()]

    def _card(self, story: Story) -> pn.Column:
        say, language = self.say, self.say.language
        scenes = "".join(f"<li>{escape(scene.title[language])}</li>" for scene in story.scenes)
        text = f"<b>{escape(story.title[language])}</b><p>{escape(story.about[language])}</p>"
        text += f"<ol>{scenes}</ol>"
        parts: list[object] = []
        if story.needs and not story.there:
            here = say("files_here") if story.reachable else story.needs.about[language]
            text += f"<aside>{escape(here)}</aside><pre>{escape(story.needs.commands.strip())}</pre>"
            commands = story.needs.commands
            copy = pmui.Button(label=say("copy_commands"), icon="content_copy", variant="text", size="small")
            copy.on_click(lambda _: self.copy(commands))
            parts.append(copy)
        begin = pmui.Button(label=say("begin_story"), icon="play_arrow", size="small", margin=(5, 10, 5, 0))
        begin.on_click(lambda _: show(self.state, story, 0))
        return pn.Column(
            pn.pane.HTML(text, stylesheets=[sheet("tale")], sizing_mode="stretch_width", margin=0),
            pn.Row(begin, *parts, margin=(6, 0, 0, -2)),
            css_classes=["tile"],
            stylesheets=[sheet("tile")],
            styles={"flex": "1 1 320px", "align-self": "stretch"},
            margin=0,
        )


class Teller(View):
    """The text of the scene on show, with the way back and on."""

    def __init__(self, state: State, say: Words) -> None:
        super().__init__(state, say)
        self._text = pn.pane.HTML(stylesheets=[sheet("scene")], sizing_mode="stretch_width", margin=0)
        self.back = pmui.Button(label=say("scene_back"), icon="arrow_back", variant="text", size="small")
        self.next = pmui.Button(label=say("scene_next"), icon="arrow_forward", size="small")
        self.leave = pmui.Button(label=say("take_over"), variant="outlined", size="small")
        self.back.on_click(lambda _: self._go(-1))
        self.next.on_click(lambda _: self._go(1))
        self.leave.on_click(lambda _: self._take_over())
        body = pn.Column(self._text, sizing_mode="stretch_width", margin=0, scroll="y")
        body.styles = {"flex": "1 1 0", "min-height": "0"}
        self.panel = pn.Column(
            body,
            pn.Row(self.back, pn.Spacer(sizing_mode="stretch_width"), self.next, margin=(4, 10)),
            pn.Row(self.leave, margin=(0, 10, 12, 10)),
            width=340,
            margin=0,
            sizing_mode="stretch_height",
            css_classes=["teller"],
            stylesheets=[sheet("teller")],
        )
        self.watch(self.follow, "story", "scene")
        self.follow()

    @property
    def _story(self) -> Story | None:
        return stories().get(self.state.story)

    def _go(self, steps: int) -> None:
        """A scene back or on; after the last one, the list."""
        story, number = self._story, self.state.scene + steps
        if story and 0 <= number < len(story.scenes):
            show(self.state, story, number)
        elif story and steps > 0:
            self.state.param.update(story="", screen="stories")

    def _take_over(self) -> None:
        self.state.story = ""

    def follow(self) -> None:
        story, number = self._story, self.state.scene
        self.panel.visible = story is not None and number < len(story.scenes)
        if story is None or not self.panel.visible:
            return
        say, last = self.say, len(story.scenes) - 1
        scene, language = story.scenes[number], say.language
        dots = "".join(f'<s class="{"on" if each <= number else ""}"></s>' for each in range(last + 1))
        instead = ""
        if scene.instead and not story.there:
            instead = f"<aside>{escape(say('shown_instead', case=story.case))}</aside>"
        self._text.object = (
            f"<small>{escape(story.title[language])}</small><div>{dots}</div>"
            f"<h2><u>{number + 1}</u>{escape(scene.title[language])}</h2>"
            f"{paragraphs(story.text(number, language))}{instead}"
        )
        self.back.disabled = number == 0
        self.next.label = say("scene_next" if number < last else "all_stories")


def paragraphs(text: str) -> str:
    """Paragraphs part at empty lines; what stands in back quotes is written as it is typed."""
    typed = re.sub(r"`(.+?)`", r"<code>\1</code>", escape(text.strip()))
    return "".join(f"<p>{each}</p>" for each in typed.split("\n\n"))
