"""What a map does in the browser, without the server: scripts that `app.canvas` ties to its figure."""

from __future__ import annotations

# A window that nobody moved shows the whole domain, however the page is laid out.
FIT = """
const {inner_width, inner_height, x_range, y_range} = map
if (map.properties.inner_width.is_unset || map.properties.inner_height.is_unset) return
if (inner_width < 20 || inner_height < 20) return
const {start: left, end: right} = x_range, {start: low, end: high} = y_range
const [x0, y0, x1, y1] = home
const at_home = x_range.kept_home == null || x_range.kept_home.join() === [left, low, right, high].join()
const whole = goes_home || at_home
const fit = 1.05 * Math.max((x1 - x0) / inner_width, (y1 - y0) / inner_height)
const scale = whole ? fit : map.kept_scale ?? (right - left) / inner_width
const x = whole ? (x0 + x1) / 2 : (left + right) / 2, y = whole ? (y0 + y1) / 2 : (low + high) / 2
map.kept_scale = scale
if (whole) map.home_scale = scale
map.home_scale ??= scale
x_range.setv({start: x - scale * inner_width / 2, end: x + scale * inner_width / 2})
y_range.setv({start: y - scale * inner_height / 2, end: y + scale * inner_height / 2})
if (whole) x_range.kept_home = [x_range.start, y_range.start, x_range.end, y_range.end]
"""
MOVED = """
const {start: left, end: right} = map.x_range, {start: low, end: high} = map.y_range
if (map.kept_scale != null) {
  map.kept_scale = (right - left) / map.inner_width
  const usual = 5 * Math.min(1, Math.max(0.5, map.inner_height / 480))
  const size = Math.min(13, Math.max(0.9 * usual, usual * Math.sqrt(map.home_scale / map.kept_scale)))
  if (Math.abs(size - (map.kept_size ?? 0)) > 0.3) {
    map.kept_size = size
    for (const dots of [rim, dot]) dots.glyph.size = {value: size}
  }
}
clearTimeout(map.kept_timer)
map.kept_timer = setTimeout(() => { told.data = {bounds: [left, low, right, high]} }, 200)
"""
# Changes in place reach the screen and not the server, which knows them already.
SWAP = """
const time = head.data.right[0]
const k = frames.data.time.indexOf(time)
if (k >= 0 && picture.data.image[0] !== frames.data.image[k]) {
  for (const name of ["image", "x", "y", "dw", "dh"]) picture.data[name] = [frames.data[name][k]]
  picture.change.emit()
}
const at = readings.data.time.indexOf(time)
const level = readings.data.level[at]
if (at >= 0 && level.length === dots.data.x.length && (fresh || dots.kept_level !== level)) {
  dots.kept_level = level
  dots.data.level = Uint8Array.from(level)
  dots.data.value = Float32Array.from(readings.data.value[at])
  dots.change.emit()
}
"""
# A double tap begins with a tap: wait whether another one follows.
TAPPED = """
clearTimeout(told.kept_timer)
const {x, y} = cb_obj, count = (told.data.count[0] ?? 0) + 1
if (cb_obj.event_name === "tap")
  told.kept_timer = setTimeout(() => { told.data = {x: [x], y: [y], count: [count]} }, 320)
"""
VALUE = "return isNaN(value) ? missing : `${value.toFixed(2)} ${unit}`"
CURSOR = """
const now = performance.now(), place = {x: [cb_obj.x], y: [cb_obj.y]}
clearTimeout(told.kept_timer)
const tell = () => { told.kept_last = performance.now(); told.data = place }
if (now - (told.kept_last ?? 0) > 60) tell()
else told.kept_timer = setTimeout(tell, 60)
"""
DEGREES = """
const degrees = %s
const side = degrees < -1e-6 ? "%s" : degrees > 1e-6 ? "%s" : ""
return `${Math.abs(Math.round(degrees * 100) / 100)}°${side}`
"""
LON = DEGREES % ("tick / 6378137 * 180 / Math.PI", "W", "E")
LAT = DEGREES % ("Math.atan(Math.sinh(tick / 6378137)) * 180 / Math.PI", "S", "N")
