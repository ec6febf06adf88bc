"""One story in a real browser: open, see the rain, run, watch, look at the result, stop another run."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.browser

MODEL = """(name) => {
  for (const each of Bokeh?.documents ?? [])
    for (const model of each._all_models.values()) if (model.name === name) return model
}"""
DRAWN = f"""() => {{
  const map = ({MODEL})("map")
  return map && !map.properties.inner_width.is_unset && map.inner_width > 100
}}"""
CLASSES = f"""() => {{
  const source = ({MODEL})("rain_source"), found = new Set(source.data.image[0].array ?? source.data.image[0])
  return [...found]
}}"""
SCALES = f"""() => {{
  const map = ({MODEL})("map"), {{x_range, y_range}} = map
  return [(x_range.end - x_range.start) / map.inner_width, (y_range.end - y_range.start) / map.inner_height]
}}"""


def opened(page, address: str):
    page.goto(address)
    page.wait_for_function(DRAWN)
    page.locator("#loader").wait_for(state="hidden")
    return page


def choose(page, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label, exact=True).click()
    page.get_by_role("menuitem", name=option, exact=True).or_(
        page.locator("li").filter(has_text=option)
    ).first.click()


def number(page, label: str, value: int) -> None:
    field = page.get_by_label(label, exact=True)
    field.fill(str(value))
    field.press("Enter")


def test_open_run_watch_look_and_stop(page, browser, server):
    opened(page, f"{server}?case=small")
    page.get_by_text("Simulated satellite", exact=True).first.wait_for()
    assert len(page.evaluate(CLASSES)) > 2
    across, up = page.evaluate(SCALES)
    assert across == pytest.approx(up, rel=1e-3)

    # A step in time: the key, the label, the link.
    page.get_by_text("03:00–04:00", exact=True).wait_for()
    page.locator("body").press("ArrowRight")
    page.get_by_text("04:00–05:00", exact=True).wait_for()
    page.wait_for_url("**time=2020-07-01T05:00**")

    # A run: it shows that it is under way, and its result takes the map.
    number(page, "Members", 60)
    page.get_by_text("60 members").wait_for()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("button", name="Cancel").wait_for()
    page.get_by_text("is done").wait_for(timeout=60_000)
    page.get_by_text("60 of 60 members", exact=True).wait_for()
    assert len(page.evaluate(CLASSES)) > 2
    page.wait_for_url("**layer=run&run=kriging-**")

    # The link opens the same view in another session, which sees what happens in this one.
    other = browser.new_page()
    other.set_default_timeout(30_000)
    opened(other, page.url)
    other.get_by_text("60 of 60 members", exact=True).wait_for()
    other.get_by_role("tab", name="Runs").click()
    other.get_by_text("60 members").first.wait_for()

    # A longer run, stopped: acknowledged at once, and told in both sessions.
    number(page, "Members", 900)
    page.get_by_text("900 members").wait_for()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("tab", name="Runs").click()
    page.get_by_text("cancelled", exact=True).first.wait_for()
    other.get_by_text("cancelled", exact=True).first.wait_for()
    other.close()
