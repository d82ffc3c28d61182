"""Draws the charts of the answers as PNG, with matplotlib where it is installed (the extra `bench`)."""

import importlib
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from .findings import Chart, number

COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
"""Okabe and Ito's: told apart with every kind of colour vision; the most alike in grey stand far apart."""
MARKERS: Final = "osD^vP*X"
INK: Final = "#333333"
GRID: Final = "#e5e5e5"
OTHERS: Final = "#9a9a9a"
"""Of the bars beside Sojourn's, where one series names them all."""
WIDTH: Final = 9.0
"""Inches, at 120 dots each."""
LABEL: Final = 26
"""Characters of a label in one line."""
TITLE: Final = 88
"""Characters of a title in one line."""


class ChartsUnavailable(Exception):
    """matplotlib is not installed; the message says how to get it."""


class Painter:
    """matplotlib, drawing into files only. ChartsUnavailable: it is not installed."""

    def __init__(self) -> None:
        try:
            # By name: whoever checks the types need not have it installed.
            matplotlib: Any = importlib.import_module("matplotlib")
            matplotlib.use("Agg")
            self._pyplot: Any = importlib.import_module("matplotlib.pyplot")
            self._lines2d: Any = importlib.import_module("matplotlib.lines")
            self._ticker: Any = importlib.import_module("matplotlib.ticker")
        except ImportError as error:
            raise ChartsUnavailable(
                "no charts: matplotlib is missing; `pip install -e '.[bench]'` brings it"
            ) from error

    def draw(self, chart: Chart, directory: Path) -> Path:
        """Draw it as `NAME.png` there; the path."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{chart.name}.png"
        style = {
            "font.size": 10.0,
            "text.color": INK,
            "axes.labelcolor": INK,
            "axes.edgecolor": "#999999",
            "xtick.color": INK,
            "ytick.color": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "errorbar.capsize": 3.0,
        }
        with self._pyplot.rc_context(style):
            figure = self._bars(chart) if chart.kind == "bars" else self._lines(chart)
            # Without the version in it, the same figures make the same file.
            figure.savefig(path, dpi=120, metadata={"Software": None})
            self._pyplot.close(figure)
        return path

    def _bars(self, chart: Chart) -> Any:
        """Groups of horizontal bars, first on top: their labels are sentences, which need the width."""
        groups = list(dict.fromkeys(str(x) for points in chart.series.values() for x, *_ in points))
        beside = len(chart.series)
        thickness = 0.8 / beside
        figure, axes = self._framed(chart, 0.8 + len(groups) * max(0.5, 0.2 + 0.3 * beside))
        for index, (name, points) in enumerate(chart.series.items()):
            at = [groups.index(str(x)) + (index - (beside - 1) / 2) * thickness for x, *_ in points]
            axes.barh(
                at,
                [median for _, median, _, _ in points],
                height=thickness * 0.88,
                color=COLOURS[index % len(COLOURS)]
                if beside > 1
                else [COLOURS[0] if "sojourn" in str(x).lower() else OTHERS for x, *_ in points],
                label=name,
                xerr=_errors(points),
                error_kw={"ecolor": INK, "elinewidth": 1.0},
            )
            for y, (_, median, _, high) in zip(at, points, strict=True):
                axes.annotate(
                    number(median), (max(median, high), y), (5, 0), textcoords="offset points", va="center"
                )
        axes.set_yticks(range(len(groups)), [_wrapped(group, LABEL) for group in groups])
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        self._scale(axes.xaxis, axes.set_xscale, log=chart.log_y)
        axes.margins(x=0.12)  # room for the numbers
        axes.set_xlabel(chart.y)
        axes.grid(axis="x", color=GRID)
        return figure

    def _lines(self, chart: Chart) -> Any:
        figure, axes = self._framed(chart, 4.2)
        labels = list(
            dict.fromkeys(x for points in chart.series.values() for x, *_ in points if isinstance(x, str))
        )
        for index, points in enumerate(chart.series.values()):
            axes.errorbar(
                [labels.index(x) if isinstance(x, str) else x for x, *_ in points],
                [median for _, median, _, _ in points],
                yerr=_errors(points),
                color=COLOURS[index % len(COLOURS)],
                marker=MARKERS[index % len(MARKERS)] if len(points) <= 40 else None,
                markersize=5,
                linewidth=1.8,
                elinewidth=1.0,
            )
        if labels:
            axes.set_xticks(range(len(labels)), [_wrapped(label, LABEL) for label in labels])
        else:
            self._scale(axes.xaxis, axes.set_xscale, log=chart.log_x)
        self._scale(axes.yaxis, axes.set_yscale, log=chart.log_y)
        if not chart.log_y:
            axes.set_ylim(bottom=0)
        axes.set_xlabel(chart.x)
        axes.set_ylabel(chart.y)
        axes.grid(color=GRID)
        return figure

    def _framed(self, chart: Chart, height: float) -> tuple[Any, Any]:
        """A figure with title and legend above, where they hide nothing, and `height` inches for the rest."""
        title = _wrapped(chart.title, TITLE)
        titled = 0.2 + 0.21 * (title.count("\n") + 1)
        columns = max(1, min(len(chart.series), TITLE // (max(map(len, chart.series)) + 5)))
        rows = -(-len(chart.series) // columns) if len(chart.series) > 1 else 0
        whole = titled + 0.22 * rows + height
        figure, axes = self._pyplot.subplots(figsize=(WIDTH, whole), layout="constrained")
        figure.get_layout_engine().set(rect=(0, 0, 1, height / whole), w_pad=0.1, h_pad=0.08)
        figure.text(0.012, 1 - 0.1 / whole, title, fontsize=12, fontweight="bold", va="top")
        if rows:
            figure.legend(
                handles=[
                    self._lines2d.Line2D(
                        [],
                        [],
                        color=COLOURS[index % len(COLOURS)],
                        marker="s" if chart.kind == "bars" else MARKERS[index % len(MARKERS)],
                        markersize=9 if chart.kind == "bars" else 5,
                        linewidth=0 if chart.kind == "bars" else 1.8,
                        label=name,
                    )
                    for index, name in enumerate(chart.series)
                ],
                loc="upper left",
                bbox_to_anchor=(0.012, 1 - (titled - 0.06) / whole),
                ncols=columns,
                frameon=False,
                borderaxespad=0,
                borderpad=0,
            )
        return figure, axes

    def _scale(self, axis: Any, set_scale: Any, *, log: bool) -> None:
        """Plain numbers in place of powers of ten."""
        if log:
            set_scale("log")
        axis.set_major_formatter(self._ticker.FuncFormatter(_tick))
        if log:
            axis.set_minor_formatter(self._ticker.NullFormatter())


def draw_all(charts: Sequence[Chart], directory: Path) -> list[Path]:
    """Draw each; the paths in the same order. ChartsUnavailable: matplotlib is not installed."""
    painter = Painter()
    return [painter.draw(chart, directory) for chart in charts]


def _errors(points: Sequence[tuple[str | float, float, float, float]]) -> list[list[float]] | None:
    """How far the least and the most lie from the median; None when nothing varies."""
    below = [max(0.0, median - low) for _, median, low, _ in points]
    above = [max(0.0, high - median) for _, median, _, high in points]
    return [below, above] if any(below) or any(above) else None


def _tick(value: float, _position: int) -> str:
    return number(value)


def _wrapped(text: str, width: int) -> str:
    """The text in lines of at most `width` characters, a longer word alone in its own."""
    return "\n".join(textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False))
