"""Figures for paper: the maps of a run and its hyetograph, by HoloViews on Matplotlib, without a screen.

Fields come in Web Mercator, as colour classes, over our own coast, so nothing is fetched and no projection is
needed. A map tells of one hour in mm/h or of the whole period in mm; class edges follow the length of the
period, and the legend states them. Text stays text in SVG, so that the reader's own fonts serve Chinese.

Only processes that make files import this: HoloViews and Matplotlib take seconds to load.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import holoviews as hv
import matplotlib
import numpy as np
from holoviews.plotting import mpl as _mpl  # noqa: F401  (registers the backend)
from matplotlib import font_manager
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from app import raster
from app.theme import BORDER, COAST, HEAD, INK, LAND, LINE, RAIN_BAR, SOFT, Scale, scale_of
from engine.fields import Box

matplotlib.use("Agg")
hv.Store.set_current_backend("matplotlib")

CHINESE = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "PingFang SC", "Microsoft YaHei")
CHINESE += ("WenQuanYi Zen Hei", "SimHei", "Noto Serif CJK SC", "Noto Serif CJK JP")
COLUMNS = 3
SIDE = 3.1  # inches of a map
FACTORS = (1, 2, 5, 10, 20, 50, 100)  # by which class edges grow with the hours that are added up


@dataclass(frozen=True)
class Panel:
    """One map: (lat, lon) values in the unit of its scale."""

    title: str
    values: np.ndarray
    lat: np.ndarray
    lon: np.ndarray
    scale: Scale


def fonts() -> list[str]:
    """Ours first, then whatever Chinese font this machine has."""
    known = {each.name for each in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in CHINESE if name in known)]


def scaled(statistic: str, hours: float) -> Scale:
    """The scale of a statistic of rain added up over some hours; of one hour that of the map."""
    scale = scale_of(statistic)
    if statistic == "above" or hours <= 1:
        return scale
    factor = min(FACTORS, key=lambda each: abs(np.log(each / hours**0.6)))
    return replace(scale, edges=tuple(float(f"{edge * factor:g}") for edge in scale.edges))


def maps(panels: Sequence[Panel], box: Box, legends: dict[str, str]) -> Figure:
    """All panels on one sheet with a legend for each scale; ``legends`` has their titles by name."""
    left, bottom, right, top = raster.extent(box)
    shores = raster.shores(box)
    coasts: Any = hv.Path(shores.coasts).opts(hv.opts.Path(color=COAST, linewidth=0.7))
    borders: Any = hv.Path(shores.borders).opts(hv.opts.Path(color=BORDER, linewidth=0.4))
    drawn = [_map(panel) * borders * coasts for panel in panels]
    about = {"xlim": (left, right), "ylim": (bottom, top), "bgcolor": LAND, "aspect": "equal"}
    whole = hv.Layout(
        [
            each.opts(
                hv.opts.Overlay(title=panel.title, xaxis=None, yaxis=None, fontsize={"title": 10}, **about)
            )
            for each, panel in zip(drawn, panels, strict=True)
        ]
    ).cols(COLUMNS)
    rows = -(-len(panels) // COLUMNS)
    tall = SIDE * (top - bottom) / (right - left)
    size = (SIDE * min(len(panels), COLUMNS) + 0.4, rows * (tall + 0.35) + 0.75)
    whole.opts(hv.opts.Layout(sublabel_format="", fig_size=100, hspace=0.06, vspace=0.16, tight=False))
    figure: Any = hv.render(whole, backend="matplotlib")
    figure.set_size_inches(*size)
    _place(figure, len(panels), size, tall)
    scales = {panel.scale.name: panel.scale for panel in panels}
    for place, (name, scale) in enumerate(scales.items()):
        _legend(figure, scale, legends[name], place, len(scales), size)
    return figure


def _map(panel: Panel) -> Any:
    rows = raster.Rows.of(panel.lat, panel.lon)
    classes = raster.classes(rows(panel.values), panel.scale.edges)[::-1]
    bounds = (rows.left, rows.bottom, rows.left + rows.width, rows.bottom + rows.height)
    palette = ListedColormap(panel.scale.palette)
    return hv.Image(classes, bounds=bounds).opts(
        hv.opts.Image(cmap=palette, clim=(-0.5, len(panel.scale.palette) - 0.5), interpolation="nearest")
    )


def _place(figure: Figure, count: int, size: tuple[float, float], tall: float) -> None:
    """Maps in rows, close together, with room below for the legends."""
    wide, high = size
    for place, axes in enumerate(figure.axes[:count]):
        row, column = divmod(place, COLUMNS)
        top = high - 0.3 - row * (tall + 0.35)
        axes.set_position(
            ((0.2 + column * SIDE) / wide, (top - tall) / high, (SIDE - 0.14) / wide, tall / high)
        )


def _legend(
    figure: Figure, scale: Scale, title: str, place: int, count: int, size: tuple[float, float]
) -> None:
    wide = 1 / max(count, 2)
    axes = figure.add_axes((0.02 + place * wide, 0.12 / size[1], wide - 0.05, 0.42 / size[1]))
    axes.set_axis_off()
    axes.set(xlim=(0, len(scale.edges)), ylim=(-1.2, 2.2))
    for number, (edge, colour) in enumerate(zip(scale.edges, scale.colours, strict=True)):
        axes.add_patch(Rectangle((number, 0), 1, 0.9, color=colour, linewidth=0))
        axes.text(number, -0.2, scale.label(edge), fontsize=7, va="top", color=SOFT["light"])
    axes.text(0, 1.2, title, fontsize=8, va="bottom", color=INK["light"])


@dataclass(frozen=True)
class Line:
    """Rain over the domain through time, and a band if there are several members."""

    label: str
    mean: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None


def hyetograph(times: Any, lines: Sequence[Line], unit: str, band: str) -> Figure:
    """The ensemble first, with its band; the others as thin lines."""
    first, *others = lines
    stamps = times.to_numpy()
    drawn: Any = hv.Overlay([])
    if first.low is not None:
        filled = hv.Area((stamps, first.low, first.high), vdims=["low", "high"], label=band)
        drawn *= filled.opts(hv.opts.Area(color=RAIN_BAR["light"], alpha=0.35, linewidth=0))
    colours = [HEAD["light"], "#2e8b63", "#8a6d1f", SOFT["light"]]
    for other, colour in zip(others, colours, strict=False):
        thin = hv.Curve((stamps, other.mean), label=other.label)
        drawn *= thin.opts(hv.opts.Curve(color=colour, linewidth=1))
    drawn *= hv.Curve((stamps, first.mean), label=first.label).opts(
        hv.opts.Curve(color="#2f5d86", linewidth=2)
    )
    drawn = drawn.opts(
        hv.opts.Overlay(aspect=3.6, fig_inches=9, xlabel="", ylabel=unit, legend_position="top_left")
    )
    figure: Any = hv.render(drawn, backend="matplotlib")
    figure.set_size_inches(9, 2.9)
    (axes,) = figure.axes
    axes.set_aspect("auto")
    axes.set_position((0.07, 0.12, 0.92, 0.84))
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=LINE["light"], linewidth=0.8)
    axes.tick_params(axis="x", rotation=0)
    return figure


def drawn(figure: Figure, kind: str, salt: str) -> bytes:
    """The figure as a file's content; the same figure gives the same bytes."""
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # in SVG the reader's fonts have it
        about = {"Date": None} if kind == "svg" else {}
        figure.savefig(stream, format=kind, dpi=150, metadata=about, facecolor="white")
    return stream.getvalue()
