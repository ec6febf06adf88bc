"""The curtain between two maps that lie on each other: a line that is dragged, in the browser alone.

It moves a CSS variable of the stage; the upper map is clipped there (section `pane` of the sheet). It lies
over the stage also while there is no line, and tells the maps when the stage has another size: a figure hears
of that by itself only when the whole window changes.
"""

from __future__ import annotations

import param
from panel.custom import JSComponent

SCRIPT = """
export function render({view, model, el}) {
  el.style.cssText = "position:absolute;inset:0"
  const line = document.createElement("div")
  line.setAttribute("role", "slider")
  line.setAttribute("tabindex", "0")
  line.setAttribute("aria-label", model.told)
  line.style.cssText = "position:absolute;top:0;bottom:0;width:22px;margin-left:-11px;cursor:ew-resize;" +
    "touch-action:none;left:var(--cut,50%);z-index:3;" +
    "background:linear-gradient(90deg,transparent 10px,#1d2733 10px,#1d2733 12px,transparent 12px)"
  const grip = document.createElement("div")
  grip.textContent = "⇔"
  grip.style.cssText = "position:absolute;top:50%;left:-4px;width:30px;height:30px;margin-top:-15px;" +
    "border-radius:50%;background:#fff;color:#1d2733;display:grid;place-items:center;" +
    "font:600 16px sans-serif;box-shadow:0 1px 5px #1d273366;user-select:none"
  line.append(grip)
  el.append(line)
  const draw = () => { line.style.display = model.drawn ? "" : "none" }
  model.on("drawn", draw)
  draw()
  const measure = new ResizeObserver(() => view.parent?.compute_layout?.())
  measure.observe(el)
  model.on("remove", () => measure.disconnect())
  let cut = 50
  const stage = () => el.getRootNode().host.getRootNode().host
  const put = (share) => {
    cut = Math.min(98, Math.max(2, share))
    line.setAttribute("aria-valuenow", Math.round(cut))
    stage()?.style.setProperty("--cut", `${cut}%`)
  }
  const drag = (event) => {
    const {left, width} = stage().getBoundingClientRect()
    put(100 * (event.clientX - left) / width)
  }
  line.addEventListener("pointerdown", (event) => {
    line.setPointerCapture(event.pointerId)
    line.addEventListener("pointermove", drag)
    event.preventDefault()
    line.focus()
  })
  line.addEventListener("pointerup", () => line.removeEventListener("pointermove", drag))
  line.addEventListener("keydown", (event) => {
    const step = {ArrowLeft: -2, ArrowRight: 2}[event.key]
    if (step) { put(cut + step); event.preventDefault() }
  })
}
"""


class Curtain(JSComponent):
    """It covers the stage and catches the pointer only on its line."""

    drawn = param.Boolean(default=False)
    told = param.String(doc="what it is, for who hears the page")

    _esm = SCRIPT
