"""Everything that the tab would ask its server about some runs, at a size that a page can hold, as one text.

The text is base64 of zlib of: uint32, the length of a JSON header; the header ``{"answers", "tables"}``; bytes. A key
is the JSON list ``[route, run, name]``. ``answers`` are those in JSON, and ``tables`` says of each binary one where its
bytes begin behind the header, and how many there are (see ``pooling``).
"""

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from lora_watch.base.strict_json import strict_json
from lora_watch.runs.data import Series, spread
from lora_watch.runs.run import FinishedRun
from lora_watch.tensorboard_plugin.pooling import pool

SPREADS = ("output_ratio", "relative_spectral_norm")
"""Metrics whose spread over the adapters the views draw."""
COARSE = 13
"""Last bits left out of numbers that are many: 10 are left of 23, one part in 2,000."""


class Table(NamedTuple):
    run: str
    series: Series
    notes: list[str]
    single: str | None
    """The key under which single steps of it are held, where columns have several; None where there are too many."""


class Answers:
    """Of all routes by key: ``plain`` ones, and ``tables``, which ``packed`` cuts down to so many columns."""

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
                self.tables[key("metric", name, metric)] = Table(name, *found, None)
                if metric in SPREADS:
                    self.tables[key("spread", name, metric)] = Table(
                        name, *spread(found), key("spread at", name, metric)
                    )
            for series in overviews[name]["series"]:
                single = key("scalars at", name, series)
                self.tables[key("scalars", name, series)] = Table(name, *run.data.series(series), single)

    def packed(self, columns: int) -> str:
        """All of it, the tables in at most ``columns`` columns; schemas say where that brought steps together."""
        plain, overviews = dict(self.plain), {run: dict(known) for run, known in self.plain[key("runs")].items()}
        plain[key("runs")] = overviews
        cuts = {name: pool(table.series, columns, last_alone=True) for name, table in self.tables.items()}
        for run, overview in overviews.items():
            own = {name: cut for name, cut in cuts.items() if self.tables[name].run == run}
            width = max((cut.width for cut in own.values()), default=1)
            if width == 1:
                continue
            held = {overview["step"], *(alert["step"] for alert in plain[key("alerts", run)]["alerts"])}
            for name in (key("scalars", run, "loss"), *(key("spread", run, metric) for metric in SPREADS)):
                if name in own:
                    held |= {*own[name].first[:1].tolist(), *own[name].last.tolist()}
            overview["held"] = sorted(held)
            note = (
                f"a column of this page stands for up to {width} steps: it keeps the lowest and the highest number of "
                "each, and every NaN"
            )
            schema = plain[key("schema", run)]
            plain[key("schema", run)] = {**schema, "notes": [*schema["notes"], note]}
        bodies = {}
        for name, table in self.tables.items():
            bodies[name] = cuts[name].to_bytes(table.notes, 0 if table.single else COARSE)
            if table.single and cuts[name].pooled:
                bodies[table.single] = pool(table.series.at(overviews[table.run]["held"])).to_bytes(table.notes)
        return _text(plain, bodies)


def key(route: str, run: str = "", name: str = "") -> str:
    """As JavaScript's ``JSON.stringify`` writes it."""
    return json.dumps([route, run, name], ensure_ascii=False, separators=(",", ":"))


def _text(answers: Mapping[str, Any], bodies: Mapping[str, bytes]) -> str:
    tables, at = {}, 0
    for name, body in bodies.items():
        tables[name] = [at, len(body)]
        at += len(body)
    head = strict_json({"answers": answers, "tables": tables})
    packed = zlib.compress(b"".join([len(head).to_bytes(4, "little"), head, *bodies.values()]), 6)
    return base64.b64encode(packed).decode("ascii")


def _verdict(run: FinishedRun) -> dict[str, Any]:
    """What a run says of itself, and from which step on which alert is the one to show first."""
    told, first = run.next_run, []
    reported = {**run.data.verdict(), "verdict": "running" if run.going else run.verdict, "message": run.message}
    alerts, _ = run.data.episodes
    for step in sorted({0, *(alert.step for alert in alerts), *(alert.closed_step or 0 for alert in alerts)}):
        place = run.data.first_alert(step)
        if not first or first[-1][1] != place:
            first.append([step, place])
    return {**reported, "next_run": None if told is None else told.to_dict(), "first": first}
