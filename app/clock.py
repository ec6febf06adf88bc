"""What only the browser can know: the beat of the play, keys, and the clipboard.

The beat asks for the next hour only when the one before has come back (``shown`` has caught up), so a slow
line slows the play instead of filling up. Keys are ignored while somebody types.
"""

from __future__ import annotations

import param
from panel.custom import JSComponent

SCRIPT = """
const KEYS = {" ": "play", ArrowLeft: "-1", ArrowRight: "1"}
const FIELDS = ["INPUT", "TEXTAREA", "SELECT"]

const typing = (event) => {
  const at = event.composedPath()[0]
  if (!at || !at.tagName) return false
  if (at.type === "checkbox") return event.key === " "
  if (at.isContentEditable || FIELDS.includes(at.tagName)) return true
  const role = at.getAttribute("role") ?? ""
  const lists = ["listbox", "menu"]
  const inside = event.composedPath().some((each) => lists.includes(each.getAttribute?.("role")))
  return inside || ["slider", "combobox", "option", "radio", "spinbutton"].includes(role) ||
    (event.key === " " && ["BUTTON", "A"].includes(at.tagName))
}

const copy = async (text) => {
  try { await navigator.clipboard.writeText(text) } catch {
    const area = Object.assign(document.createElement("textarea"), {value: text})
    document.body.append(area); area.select(); document.execCommand("copy"); area.remove()
  }
}

export function render({model, el}) {
  let count = 0
  const press = (event) => {
    const key = KEYS[event.key]
    if (!key || event.ctrlKey || event.metaKey || event.altKey || typing(event)) return
    event.preventDefault()
    count += 1
    model.pressed = `${event.shiftKey && key !== "play" ? 24 * Number(key) : key}#${count}`
  }
  document.addEventListener("keydown", press)
  const beat = setInterval(() => {
    if (model.playing && model.shown === model.beat) model.beat += 1
  }, 300)
  model.on("copied", () => copy(model.copied.slice(model.copied.indexOf("#") + 1)))
  model.on("remove", () => { clearInterval(beat); document.removeEventListener("keydown", press) })
}
"""


class Clock(JSComponent):
    """Nothing to see; it sits beside what it serves."""

    beat = param.Integer(default=0, doc="counts the hours asked for while playing")
    shown = param.Integer(default=0, doc="the last of them that was sent")
    playing = param.Boolean(default=False)
    pressed = param.String(doc="the last key as what it does, and a count: play#3")
    copied = param.String(doc="a count and the text to put on the clipboard")

    _esm = SCRIPT

    def copy(self, text: str) -> None:
        count = int(self.copied.partition("#")[0] or 0) + 1
        self.copied = f"{count}#{text}"
