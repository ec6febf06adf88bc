"""Take pictures of every screen, light and dark, English and Chinese: `python scripts/figures.py [FOLDER]`.

The page runs on a server of its own with an empty home, so what is seen is what a newcomer sees: the shipped
cases and results. A picture that shows an error of the page, or a page that asks for anything off this
machine, ends the script with what it was.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import environment  # noqa: E402

if __name__ == "__main__":
    environment.enter()

from browsing import browser, opened, served  # noqa: E402

from app.state import SCREENS  # noqa: E402
from engine.values import Invalid  # noqa: E402

SETTLED = 4000  # ms that a screen may take to fill
DRESSES, LANGUAGES = ("light", "dark"), ("en", "zh")


def taken(browsing: Any, address: str, query: str, dress: str, path: Path) -> None:
    """One picture."""
    page = opened(browsing, f"{address}?{query}")
    if dress == "dark":
        page.locator("button:has-text('dark_mode')").first.click()
    page.wait_for_timeout(SETTLED)
    page.screenshot(path=path)
    wrong = page.strangers + page.failures
    page.close()
    if wrong:
        raise Invalid(f"{path.stem}: {wrong[0]}")


def main() -> int:
    parse = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parse.add_argument("folder", nargs="?", type=Path, default=ROOT / "screenshots")
    parse.add_argument("--only", choices=SCREENS, help="one screen")
    chosen = parse.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory() as home, served(Path(home)) as server, browser() as browsing:
            for screen in [chosen.only] if chosen.only else SCREENS:
                for language in LANGUAGES:
                    for dress in DRESSES:
                        path = chosen.folder / f"{screen}-{language}-{dress}.png"
                        taken(browsing, server.address, f"screen={screen}&language={language}", dress, path)
                        print(path, flush=True)
    except Invalid as refused:
        print(f"figures: {refused}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
