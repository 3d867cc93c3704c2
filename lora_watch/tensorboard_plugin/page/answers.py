"""Everything that the tab would ask its server about some runs, at a size that a page can hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from lora_watch.runs.data import Series, spread
from lora_watch.runs.run import FinishedRun
from lora_watch.tensorboard_plugin.page.packing import COARSE, key
from lora_watch.tensorboard_plugin.plugin import header_of
from lora_watch.tensorboard_plugin.pooling import Pooled, pool

SPREADS = ("output_ratio", "relative_spectral_norm")
"""Metrics whose spread over the adapters the views draw."""

Answer = tuple[dict[str, Any], Pooled, int]
"""The header of a binary route, its numbers, and how many of their last bits are left out."""


class Table(NamedTuple):
    """The numbers of one binary route of one run, at every step."""

    run: str
    series: Series
    notes: list[str]
    shift: int
    single: str | None
    """The key under which single steps of it are held, where columns have several."""


class Answers:
    """Of all routes by key: ``plain`` ones, and ``tables``, which ``pooled`` cuts down to so many columns."""

    def __init__(self, runs: Mapping[str, FinishedRun]):
        self.plain: dict[str, Any] = {}
        self.tables: dict[str, Table] = {}
        self.plain[key("runs")] = overviews = {name: run.data.overview() or {} for name, run in runs.items()}
        for route in ("schema", "alerts"):  # like by like: what runs share is compressed once
            for name, run in runs.items():
                self.plain[key(route, name)] = getattr(run.data, route)()
        for name, run in runs.items():
            self.plain[key("verdict", name)] = ending = _verdict(run)
            overviews[name] |= {"verdict": ending["verdict"], "message": ending["message"]}
            for metric in overviews[name]["metrics"]:
                found = run.data.metric(metric)
                self.tables[key("metric", name, metric)] = Table(name, *found, COARSE, None)
                if metric in SPREADS:
                    single = key("spread at", name, metric)
                    self.tables[key("spread", name, metric)] = Table(name, *spread(found), 0, single)
            for series in overviews[name]["series"]:
                single = key("scalars at", name, series)
                self.tables[key("scalars", name, series)] = Table(name, *run.data.series(series), 0, single)

    def pooled(self, columns: int) -> tuple[dict[str, Any], dict[str, Answer]]:
        """``plain`` and the tables in at most ``columns`` columns; schemas say where that brought steps together."""
        plain, tables, widths = dict(self.plain), {}, {}
        held: dict[str, set[int]] = {}
        for name, (run, series, notes, shift, _) in self.tables.items():
            cut = pool(series, columns, last_alone=True)
            tables[name] = header_of(series, cut, notes), cut, shift
            widths[run] = max(widths.get(run, 1), cut.width)
            steps = held.setdefault(run, {self.plain[key("runs")][run]["step"]})
            if name in (key("scalars", run, "loss"), *(key("spread", run, metric) for metric in SPREADS)):
                steps.update(cut.first[:1].tolist(), cut.last.tolist())
        plain[key("runs")] = {run: dict(known) for run, known in plain[key("runs")].items()}
        for run, width in widths.items():
            if width > 1:
                alerts = plain[key("alerts", run)]["alerts"]
                held[run].update(alert["step"] for alert in alerts)
                plain[key("runs")][run]["held"] = sorted(held[run])
                schema = plain[key("schema", run)]
                note = (
                    f"a column of this page stands for up to {width} steps: it keeps the lowest and the highest "
                    "number of each, and every NaN"
                )
                plain[key("schema", run)] = {**schema, "notes": [*schema["notes"], note]}
        for name, (run, series, notes, _, single) in self.tables.items():
            if single and tables[name][0]["pooled"]:
                rows = series.at(plain[key("runs")][run]["held"])
                tables[single] = header_of(rows, pool(rows), notes), pool(rows), 0
        return plain, tables


def _verdict(run: FinishedRun) -> dict[str, Any]:
    """What a run says of itself, and from which step on which alert is the one to show first."""
    told, first = run.next_run, []
    reported = {**run.data.verdict(), "next_run": None if told is None else told.to_dict()}
    if reported["verdict"] in (None, "running"):
        reported |= {"verdict": "running" if run.going else run.verdict, "message": run.message}
    alerts, _ = run.data.episodes
    for step in sorted({0, *(alert.step for alert in alerts), *(alert.closed_step or 0 for alert in alerts)}):
        place = run.data.first_alert(step)
        if not first or first[-1][1] != place:
            first.append([step, place])
    return {**reported, "first": first}
