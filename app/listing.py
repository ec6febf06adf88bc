"""The list of runs as the browser draws it: one component however many runs there are.

A row is redrawn only when what it says changed, so whoever reads or has the focus in another row is not
disturbed. Which row is chosen and which are ticked comes back as ids; pictures travel apart from the rows,
since they change far more seldom than the progress.
"""

from __future__ import annotations

import param
from panel.custom import JSComponent

SCRIPT = """
const made = (tag, of, text) =>
  Object.assign(document.createElement(tag), {className: of, textContent: text ?? ""})

export function render({model, el}) {
  const list = made("ul", "runs")
  el.append(list)
  const rows = new Map()

  const build = (row) => {
    const item = made("li", "")
    const tick = Object.assign(made("input", ""), {type: "checkbox", ariaLabel: row.tick})
    tick.addEventListener("change", () => {
      const others = model.ticked.filter((each) => each !== row.id)
      model.ticked = tick.checked ? [...others, row.id] : others
    })
    const open = Object.assign(made("button", ""), {type: "button"})
    open.addEventListener("click", () => { model.chosen = row.id })
    const picture = Object.assign(made("img", ""), {alt: ""})
    const text = made("div", "text")
    open.append(picture, text)
    item.append(tick, open)
    return {item, tick, picture, text, open, told: ""}
  }
  const write = (held, row) => {
    const told = JSON.stringify(row)
    if (held.told === told) return
    held.told = told
    const head = made("header", "")
    head.append(made("b", "", row.title), made("i", row.state, row.chip))
    held.text.replaceChildren(head, ...row.lines.map((line) => made("p", "", line)))
    if (row.progress >= 0) {
      const bar = made("s", "")
      bar.style.setProperty("--share", `${100 * row.progress}%`)
      held.text.append(bar)
    }
  }
  const mark = () => {
    for (const [id, held] of rows) {
      held.item.className = id === model.chosen ? "on" : ""
      held.open.setAttribute("aria-current", String(id === model.chosen))
      held.tick.checked = model.ticked.includes(id)
      const picture = model.pictures[id] ?? ""
      if (picture && held.picture.getAttribute("src") !== picture) held.picture.src = picture
      held.picture.classList.toggle("none", !picture)
    }
  }
  const draw = () => {
    const wanted = new Set(model.rows.map((row) => row.id))
    for (const [id, held] of rows) if (!wanted.has(id)) { held.item.remove(); rows.delete(id) }
    model.rows.forEach((row, place) => {
      if (!rows.has(row.id)) rows.set(row.id, build(row))
      const held = rows.get(row.id)
      write(held, row)
      if (list.children[place] !== held.item) list.insertBefore(held.item, list.children[place] ?? null)
    })
    mark()
  }
  model.on("rows", draw)
  for (const name of ["chosen", "ticked", "pictures"]) model.on(name, mark)
  draw()
}
"""


class Listing(JSComponent):
    """Rows of ``id``, ``title``, ``state``, ``chip``, ``lines``, ``progress`` (-1: no bar) and ``tick``."""

    rows = param.List(default=[])
    pictures = param.Dict(default={}, doc="by id: the address of a small picture")
    chosen = param.String(default="")
    ticked = param.List(default=[])

    _esm = SCRIPT
