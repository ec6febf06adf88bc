"""The register of gauges as a table in the browser: sorted there, picked from there.

A click picks a gauge, with Ctrl one more, with Shift all up to it; what is picked is one list of names, which
the map shares. Three marks a row say what becomes of the gauge: used, held out, ignored; a click on one asks
for it.
"""

from __future__ import annotations

import param
from panel.custom import JSComponent

SCRIPT = """
export function render({model, el}) {
  let sorted = 0, down = false, last = null, count = 0
  const box = document.createElement("div"), table = document.createElement("table")
  const head = table.createTHead(), body = table.createTBody()
  box.append(table)
  const order = () => {
    const rows = [...model.rows]
    rows.sort((one, other) => {
      const [a, b] = [one[sorted], other[sorted]]
      if (a === null || b === null) return (a === null) - (b === null)
      return (down ? -1 : 1) * (typeof a === "number" ? a - b : String(a).localeCompare(String(b)))
    })
    return rows
  }
  const pick = (event, name, names) => {
    let picked = [name]
    if (event.shiftKey && last !== null && names.includes(last)) {
      const [from, to] = [names.indexOf(last), names.indexOf(name)].sort((a, b) => a - b)
      picked = names.slice(from, to + 1)
    } else if (event.ctrlKey || event.metaKey) {
      picked = model.picked.filter((each) => each !== name)
      if (picked.length === model.picked.length) picked.push(name)
    }
    last = name
    model.picked = picked
  }
  const marks = (row) => {
    const cell = document.createElement("td")
    cell.className = "marks"
    model.roles.forEach(([key, mark, word]) => {
      const button = document.createElement("button")
      Object.assign(button, {textContent: mark, title: word, type: "button"})
      button.setAttribute("aria-label", `${row[0]}: ${word}`)
      button.setAttribute("aria-pressed", row[7] === key)
      button.onclick = (event) => {
        event.stopPropagation()
        count += 1
        model.asked = [key, row[0], count]
      }
      cell.append(button)
    })
    return cell
  }
  const paint = () => {
    head.replaceChildren()
    const line = head.insertRow()
    model.heads.forEach((text, at) => {
      const cell = document.createElement("th")
      cell.textContent = text + (at === sorted ? (down ? " ↓" : " ↑") : "")
      cell.onclick = () => { down = at === sorted && !down; sorted = at; paint() }
      line.append(cell)
    })
    body.replaceChildren()
    const rows = order(), names = rows.map((row) => row[0])
    const digits = [null, 2, 2, 0, 1, 1, null, null, 0]
    for (const row of rows) {
      const one = body.insertRow()
      one.dataset.name = row[0]
      row.forEach((value, at) => {
        if (at === 7) return one.append(marks(row))
        const cell = one.insertCell()
        cell.textContent = value === null ? "–" : digits[at] === null ? value : value.toFixed(digits[at])
        if (digits[at] !== null) cell.className = "number"
        if (at === 6 && value) cell.title = model.meanings[value] ?? value
      })
      one.onclick = (event) => pick(event, row[0], names)
    }
    choose()
  }
  const choose = () => {
    const picked = new Set(model.picked)
    for (const row of body.rows) row.classList.toggle("picked", picked.has(row.dataset.name))
    const first = [...body.rows].find((row) => picked.has(row.dataset.name))
    if (first && !picked.has(last)) first.scrollIntoView({block: "nearest"})
  }
  model.on("rows", paint)
  model.on("picked", choose)
  paint()
  return box
}
"""


class Register(JSComponent):
    """Rows are name, lat, lon, elevation, missing %, total, flags, role, distance; heads name the columns."""

    heads = param.List(default=[])
    rows = param.List(default=[])
    roles = param.List(default=[], doc="key, mark and word of each role")
    meanings = param.Dict(default={}, doc="what a flag means")
    picked = param.List(default=[])
    asked = param.List(default=[], doc="a role, the gauge that is to have it, and a count")

    _esm = SCRIPT
