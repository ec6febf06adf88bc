"""The page in a real browser: what a person waits for, beside the budget of each, and what a session weighs.

A server of its own with an empty home and the shipped results; a headless Chromium without a GPU, so every
picture is painted by the processor that also serves. *To paint* is measured inside the browser, from the
event of a key or a pointer to the end of the first frame that is drawn after the picture has changed. The
server's loop is asked for a beat every 20 ms: *lateness* is what it is late by. With many sessions one is the
browser and the others are websocket clients that step in time every second, while a run is under way.

``value`` is the median, ``low`` and ``high`` the least and the 95th percentile; ``method`` tells the budget.
``--quick`` takes fewer of each.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from browsing import NAMED, Server, browser, opened, served

FRONT = "screen=explore&case=front&layer=satellite&time=2020-07-02T01:00"
RESULT = "case=front&layer=run&run=front-prior&time=2020-07-02T04:00"
FRAME = "() => new Promise(go => requestAnimationFrame(() => go(performance.now())))"
READY = f"() => {{ const one = ({NAMED})('rain_source'); return one && one.data.image[0].length > 4 }}"
CLASSED = """(name) => {
  for (const each of Bokeh.documents) for (const thing of each._all_models.values())
    if ((thing.css_classes ?? []).includes(name) && thing.text !== undefined) return thing
}"""
# Resolves with the milliseconds from the next event of a kind to the frame after a thing has changed.
WATCH = f"""([kind, find, property]) => {{
  const thing = find.startsWith(".") ? ({CLASSED})(find.slice(1)) : ({NAMED})(find)
  const begun = new Promise(go => document.addEventListener(kind, () => go(performance.now()),
                                                            {{once: true, capture: true}}))
  const changed = new Promise(go => {{
    const signals = [thing.properties[property].change, thing.change]  // frames are swapped in place
    const hear = () => {{ for (const each of signals) each.disconnect(hear); go() }}
    for (const each of signals) each.connect(hear)
  }})
  window.painted = changed.then(() => new Promise(go => requestAnimationFrame(() => setTimeout(go, 0))))
    .then(async () => performance.now() - await begun)
}}"""


def run(case: str | None, quick: bool) -> list[dict]:
    count, rows = 5 if quick else 25, []
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as server, browser() as browsing:
        opened(browsing, f"{server.address}?{RESULT}").close()  # the first of all reads what is kept then
        rows += list(_opening(browsing, server, 3 if quick else 8))
        rows += list(_exploring(browsing, server, count))
        rows += list(_ensemble(browsing, server, count))
        rows += list(_weights(browsing, server, 3 if quick else 8))
        rows += list(_runs(browsing, server, 1 if quick else 4))
        rows += list(_crowd(browsing, server, 4 if quick else 19, 10 if quick else 40))
    return rows


def row(metric: str, values: list[float], unit: str, budget: str) -> dict[str, Any]:
    low, value, high = np.percentile(values, [0, 50, 95]) if len(values) else [float("nan")] * 3
    return {
        "case": "page",
        "method": budget,
        "metric": metric,
        "value": round(float(value), 1),
        "low": round(float(low), 1),
        "high": round(float(high), 1),
        "n": len(values),
        "unit": unit,
    }


def painted(page: Any, act: Callable[[], Any], kind: str, thing: str, what: str = "data") -> float:
    """Milliseconds from an event to the picture."""
    page.evaluate(WATCH, [kind, thing, what])
    act()
    return page.evaluate("() => Promise.race([window.painted, new Promise(go => setTimeout(go, 9000, NaN))])")


def _opening(browsing: Any, server: Server, count: int) -> Iterator[dict]:
    found = []
    for _ in range(count):
        page = browsing.new_page(viewport={"width": 1440, "height": 900})
        page.goto(f"{server.address}?{FRONT}")
        page.wait_for_function(READY)
        found.append(page.evaluate(FRAME))
        page.close()
    yield row("first rain on the map, warm", found, "ms", "3000")


def _exploring(browsing: Any, server: Server, count: int) -> Iterator[dict]:
    page = opened(browsing, f"{server.address}?{FRONT}")
    page.wait_for_function(READY)
    page.wait_for_timeout(6000)  # the hours are on their way to the browser
    sizes: list[int] = []
    page.on("websocket", lambda line: line.on("framereceived", lambda frame: sizes.append(len(frame))))
    key = lambda: page.keyboard.press("ArrowRight")  # noqa: E731
    steps = [painted(page, key, "keydown", "rain_source") for _ in range(count)]
    yield row("a step in time", steps, "ms", "33")
    yield row("the largest message of a step", [max(sizes, default=0) / 1000], "kB", "no image")
    names = ["Simulated reanalysis", "Simulated satellite", "Simulated radar", "Simulated forecast"]
    changes = []
    for number in range(count):
        page.get_by_role("combobox", name="Show on the map").first.click()
        option = page.locator("li").filter(has_text=names[number % len(names)]).first
        changes.append(painted(page, option.click, "pointerdown", "rain_source"))
        page.wait_for_timeout(700)
    yield row("another source", changes, "ms", "250")
    box = page.locator("canvas").first.bounding_box()
    moves = []
    for number in range(count):
        where = box["x"] + 350 + 9 * number, box["y"] + 300
        move = functools.partial(page.mouse.move, *where)
        moves.append(painted(page, move, "pointermove", ".readout", "text"))
        page.wait_for_timeout(150)
    yield row("the readout below the cursor", moves, "ms", "100")
    yield row("requests off this machine", [len(page.strangers)], "", "0")
    yield row("errors in the page", [len(page.failures)], "", "0")
    page.close()


def _ensemble(browsing: Any, server: Server, count: int) -> Iterator[dict]:
    page = opened(browsing, f"{server.address}?screen=ensemble&{RESULT}&statistic=above&above=5")
    stamped = f"() => {{ const one = ({NAMED})('stamps_source'); return one && one.data.image.length > 3 }}"
    page.wait_for_function(stamped)
    page.wait_for_timeout(3000)
    key = lambda: page.keyboard.press("ArrowRight")  # noqa: E731
    steps = []
    for _ in range(count):
        steps.append(painted(page, key, "keydown", "stamps_source"))
        page.wait_for_timeout(500)
    yield row("all 16 stamps", steps, "ms", "300")
    thumb = page.locator("input[type=range]").last
    thumb.focus()
    drags = [
        painted(page, lambda: page.keyboard.press("ArrowRight"), "keydown", "rain_source")
        for _ in range(count)
    ]
    yield row("the threshold of a chance, dragged", drags, "ms", "33")
    page.close()


def _weights(browsing: Any, server: Server, count: int) -> Iterator[dict]:
    """What sessions weigh in the server while they are open, and what is left of them."""
    page = opened(browsing, f"{server.address}?{FRONT}")
    page.close()
    time.sleep(20)  # sessions that have no page are discarded
    before = server.megabytes()
    pages = [opened(browsing, f"{server.address}?{FRONT}") for _ in range(count)]
    time.sleep(5)
    held = server.megabytes()
    for each in pages:
        each.close()
    gc.collect()
    time.sleep(45)
    yield row("a session", [(held - before) / count], "MB", "60")
    yield row("what a closed session leaves", [(server.megabytes() - before) / count], "MB", "0")


def _runs(browsing: Any, server: Server, count: int) -> Iterator[dict]:
    mine, other = (opened(browsing, f"{server.address}?{FRONT}&screen=runs") for _ in range(2))
    seen, said, stopped, late = [], [], [], []
    for seed in range(count):
        field = mine.get_by_label("Seed", exact=True)
        field.fill(str(100 + seed))
        field.press("Enter")
        mine.wait_for_timeout(1500)
        server.late()
        begun = time.monotonic()
        mine.get_by_role("button", name="Run", exact=True).click()
        other.get_by_role("button", name="Cancel").first.wait_for()
        seen.append(1000 * (time.monotonic() - begun))
        mine.wait_for_timeout(8000)
        late += [1000 * each for each in server.late()]
        begun = time.monotonic()
        mine.get_by_role("button", name="Cancel").first.click()
        mine.get_by_text("Cancelling").first.wait_for()
        said.append(1000 * (time.monotonic() - begun))
        other.get_by_text("cancelled", exact=True).nth(seed).wait_for()
        stopped.append(1000 * (time.monotonic() - begun))
    yield row("a run seen in another session", seen, "ms", "1000")
    yield row("a cancel acknowledged", said, "ms", "200")
    yield row("a cancel in effect, seen elsewhere", stopped, "ms", "1000")
    yield row("lateness of the loop during a run", late, "ms", "250")
    mine.close()
    other.close()


def _crowd(browsing: Any, server: Server, others: int, count: int) -> Iterator[dict]:
    page = opened(browsing, f"{server.address}?{FRONT}")
    page.wait_for_function(READY)
    page.get_by_role("button", name="Run", exact=True).click()
    names = ["Simulated reanalysis", "Simulated satellite", "Simulated radar", "Simulated forecast"]
    with visitors(server, others):
        server.late()
        found = []
        for number in range(count):
            page.get_by_role("combobox", name="Show on the map").first.click()
            option = page.locator("li").filter(has_text=names[number % len(names)]).first
            found.append(painted(page, option.click, "pointerdown", "rain_source"))
        late = [1000 * each for each in server.late()]
    yield row(f"another source, {others + 1} sessions and a run", found, "ms", "500")
    yield row(f"lateness of the loop, {others + 1} sessions and a run", late, "ms", "250")
    page.close()


@contextmanager
def visitors(server: Server, count: int) -> Iterator[None]:
    """Clients without a browser, each stepping through the hours."""
    from bokeh.client import pull_session

    over = threading.Event()

    def visit() -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())
        session = pull_session(url=f"{server.address}?{FRONT}")
        clock = next(each for each in session.document.models if "pressed" in each.properties())
        hours = 0
        while not over.wait(1.0):
            hours += 1
            clock.update(pressed=f"walk#{hours}#{hours}")
            session.force_roundtrip()
        session.close()

    threads = [threading.Thread(target=visit, daemon=True) for _ in range(count)]
    for each in threads:
        each.start()
        time.sleep(0.5)
    yield
    over.set()
    for each in threads:
        each.join(10)
