"""What only the browser can know: the beat of the play, keys, its time zone, and the clipboard.

While the maps have the next hour already, the beat moves the play head here and the server hears of it
afterwards: the head's tags are the frames of the maps on show. Else it asks the server for the next hour, and
only when the one before has come back (``shown`` has caught up), so a slow line slows the play instead of
filling up. Keys are ignored while somebody types.
"""

from __future__ import annotations

from typing import Any

import param
from bokeh.events import ConnectionLost
from bokeh.models import CustomJS
from panel.custom import JSComponent

SCRIPT = """
const KEYS = {
  " ": "play", ArrowLeft: "-1", ArrowRight: "1", Escape: "escape", "?": "?",
  d: "d", g: "g", m: "m", s: "s", p: "p", 1: "1 panes", 2: "2 panes", 4: "4 panes",
}
const FIELDS = ["INPUT", "TEXTAREA", "SELECT"]

const typing = (event) => {
  const at = event.composedPath()[0]
  if (!at || !at.tagName) return false
  if (at.type === "checkbox") return event.key === " "
  if (at.isContentEditable || FIELDS.includes(at.tagName)) return true
  const role = at.getAttribute("role") ?? ""
  if (role === "slider") return event.key.startsWith("Arrow")
  const lists = ["listbox", "menu"]
  const inside = event.composedPath().some((each) => lists.includes(each.getAttribute?.("role")))
  return inside || ["combobox", "option", "radio", "spinbutton"].includes(role) ||
    (event.key === " " && ["BUTTON", "A"].includes(at.tagName))
}

const copy = async (text) => {
  try { await navigator.clipboard.writeText(text) } catch {
    const area = Object.assign(document.createElement("textarea"), {value: text})
    document.body.append(area); area.select(); document.execCommand("copy"); area.remove()
  }
}

const walk_here = (document, hours) => {
  const head = document.get_model_by_name("play_head"), bars = document.get_model_by_name("hours")
  if (!head?.tags.length || !bars || head.data.index[0] < 0) return false
  const {left, right} = bars.data, count = right.length
  const k = (((head.data.index[0] + hours) % count) + count) % count
  if (!count || !head.tags.every((frames) => frames.data.time.includes(right[k]))) return false
  head.data = {...head.data, left: [left[k]], right: [right[k]], index: [k]}
  return true
}

export function render({view, model, el}) {
  model.zone = Intl.DateTimeFormat().resolvedOptions().timeZone ?? ""
  let count = 0, walked = 0
  const press = (event) => {
    const key = KEYS[event.key]
    if (!key || event.ctrlKey || event.metaKey || event.altKey || typing(event)) return
    event.preventDefault()
    count += 1
    const walk = Number(key)
    if (walk && walk_here(view.model.document, (event.shiftKey ? 24 : 1) * walk)) return
    if (walk) walked += (event.shiftKey ? 24 : 1) * walk
    model.pressed = `${walk ? "walk" : key}#${walked}#${count}`
  }
  document.addEventListener("keydown", press)
  const beat = setInterval(() => {
    if (!model.playing || !view.model.document || walk_here(view.model.document, 1)) return
    if (model.shown === model.beat) model.beat += 1
  }, 300)
  model.on("copied", () => copy(model.copied.slice(model.copied.indexOf("#") + 1)))
  model.on("remove", () => { clearInterval(beat); document.removeEventListener("keydown", press) })
}
"""


LOST = """
if (!document.getElementById("rainloom-lost")) {
  const note = Object.assign(document.createElement("div"), {id: "rainloom-lost", textContent: text})
  note.setAttribute("role", "alert")
  note.style.cssText = "position:fixed;top:0;left:0;right:0;z-index:99999;padding:10px 18px;" +
    "text-align:center;background:#8a3b12;color:#fff;font:600 14px system-ui,sans-serif"
  document.body.append(note)
  const again = async () => {
    try { if ((await fetch(location.href, {cache: "no-store"})).ok) return location.reload() } catch {}
    setTimeout(again, 2000)
  }
  setTimeout(again, 1000)
}
"""


def mind_the_line(document: Any, text: str) -> None:
    """When the server is gone, say so, and load the page again (its link holds the view) once it is back."""
    if document is not None:
        document.js_on_event(ConnectionLost, CustomJS(code=LOST.replace("text})", f"{text!r}}})")))


class Clock(JSComponent):
    """Nothing to see; it sits beside what it serves."""

    beat = param.Integer(default=0, doc="counts the hours asked for while playing")
    shown = param.Integer(default=0, doc="the last of them that was sent")
    playing = param.Boolean(default=False)
    pressed = param.String(
        doc="what the last key does, the sum of all arrows in hours, and a count: walk#-2#3"
    )
    zone = param.String(doc="the name of the browser's time zone")
    copied = param.String(doc="a count and the text to put on the clipboard")

    _esm = SCRIPT

    def copy(self, text: str) -> None:
        count = int(self.copied.partition("#")[0] or 0) + 1
        self.copied = f"{count}#{text}"
