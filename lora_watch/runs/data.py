"""One run's numbers, alerts and last words from its events.

The events may come from another program, another version or a killed run. What does not fit is left out, and a note
in words says so.
"""

import math
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lora_watch.base.alerts import Alert, Severity, first_to_show, in_order, tally
from lora_watch.base.strict_json import strict
from lora_watch.base.untrusted import MISFITS
from lora_watch.format import tags
from lora_watch.format.quantiles import QUANTILES, quantiles
from lora_watch.rules.policy import muted, passes
from lora_watch.runs.events import Event, EventLog

NAN = 1
"""Flag of a cell that holds a measured NaN."""
INF = 2
"""Flag of a cell that holds an infinity."""
UNKNOWN = 4
"""Flag of a cell in which nothing was measured."""


_UNKNOWN = np.array([tags.UNKNOWN_BITS], np.uint32).view(np.float32)


class NotThereError(LookupError):
    """No such run, or nothing of that name in it."""


@dataclass(frozen=True)
class Series:
    """Rows of numbers by step, oldest first."""

    steps: NDArray[np.int64]
    """``[n_steps]``, rising."""
    values: NDArray[np.float32]
    """``[n_steps, n]``; NaN where there is no finite number or a true NaN."""
    flags: NDArray[np.uint8]
    """``[n_steps, n]``: NAN, INF, UNKNOWN or 0. A number that stands for many may be finite and flagged."""

    @classmethod
    def of(cls, steps: ArrayLike, values: NDArray[np.float32]) -> "Series":
        """Reads the flags off the values. The format tells an unknown number from a measured NaN by its bits."""
        flags = np.zeros(values.shape, np.uint8)
        if not np.isfinite(values).all():  # seldom: spares large, healthy runs three passes
            nan = np.isnan(values)
            unknown = nan & (np.ascontiguousarray(values).view(np.uint32) == tags.UNKNOWN_BITS)
            flags[nan] = NAN
            flags[unknown] = UNKNOWN
            flags[np.isinf(values)] = INF
        return cls(np.asarray(steps, np.int64), values, flags)

    def rows(self, chosen: Any) -> "Series":
        """The rows that ``chosen``, an index of numpy's, takes."""
        return Series(self.steps[chosen], self.values[chosen], self.flags[chosen])

    def between(self, first: int | None, last: int | None) -> "Series":
        """The rows whose step lies in ``[first, last]``; None leaves that side open."""
        start = 0 if first is None else int(np.searchsorted(self.steps, first, "left"))
        stop = len(self.steps) if last is None else int(np.searchsorted(self.steps, last, "right"))
        return self.rows(slice(start, stop))

    def at(self, steps: Sequence[int]) -> "Series":
        """The rows that hold at ``steps``: of each the row of that step, or of the last one before it that has one."""
        rows = np.unique(np.searchsorted(self.steps, steps, "right")) - 1
        return self.rows(rows[rows >= 0])


Decoded = tuple[Series, list[str]]


class RunData:
    """What the events of one run say."""

    def __init__(self, log: EventLog):
        self.log = log
        self.ended: Sequence[Alert] = ()
        """What a reader has found in how the run ended; no event says it."""

    @property
    def steps(self) -> Sequence[int]:
        """Every step that was written, in order. 0 is the state before the first."""
        return self.log.steps

    def overview(self) -> dict[str, Any] | None:
        """``metrics`` and ``series`` that there are, the latest ``step``, when that was written (``wall_time``), the
        ``verdict`` and its ``message``; None without a vector of ours."""
        found, steps = self.log.tags, self.steps
        metrics, series = (
            sorted(tag.removeprefix(prefix) for tag in found if tag.startswith(prefix))
            for prefix in (tags.METRIC_PREFIX, tags.SERIES_PREFIX)
        )
        if not metrics and not series:
            return None
        return {
            "metrics": metrics,
            "series": series,
            "step": int(steps[-1]) if len(steps) else max(at.step for at in found.values()),
            "wall_time": max(at.wall_time for at in found.values()),
            **self.verdict(),
        }

    # -- words -------------------------------------------------------------------------------------------------------
    @cached_property
    def schemas(self) -> tuple[list[tuple[Event, dict[str, Any]]], list[str]]:
        """Those that can be read, each with the event with which it begins, and notes."""
        events = self.log.events(tags.SCHEMA)
        good, notes = [(event, read) for event in events if _is_schema(read := event.document(dict))], []
        if not good:
            notes.append("this run says nothing of its adapters (no readable schema): they are numbered")
        elif len(good) < len(events):
            notes.append(f"{len(events) - len(good)} damaged schemas were left out")
        if good and good[-1][1].get("version", 0) > tags.FORMAT_VERSION:
            notes.append("this run was written by a newer lora_watch: update it to see everything")
        return good, notes

    def schema(self) -> dict[str, Any]:
        """The latest schema, with ``notes`` of what is wrong with it, and its ``rates_of``. Without one, no adapter has
        a name."""
        schemas, notes = self.schemas
        last = dict(schemas[-1][1]) if schemas else {"adapters": []}
        own = last.get("notes")
        said = [item for item in own if isinstance(item, str)] if isinstance(own, (list, tuple)) else []
        return {**last, "rates": rates_of(last), "notes": [*said, *notes]}

    @cached_property
    def names(self) -> list[str]:
        """Of the adapters, in the order of the columns of each metric."""
        return [adapter["name"] for _, latest in self.schemas[0][-1:] for adapter in latest["adapters"]]

    @property
    def episodes(self) -> tuple[list[Alert], int]:
        """Every alert as it was last written, with ``ended``, ``in_order``, and how many entries are damaged."""
        written, broken = self._written
        return in_order([*written, *self.ended]), broken

    @cached_property
    def _written(self) -> tuple[list[Alert], int]:
        found: dict[tuple[str, int], Alert] = {}
        broken = 0
        for event in self.log.events(tags.ALERTS):
            entries: list[Any] = [None] if (listed := event.document(list)) is None else listed
            for entry in entries:
                try:
                    alert = Alert.from_dict(entry)
                except ValueError:
                    broken += 1
                else:
                    found[alert.rule, alert.step] = alert
        return list(found.values()), broken

    def alerts(self) -> dict[str, Any]:
        """``{"alerts": episodes, the one to show first first, each in its latest state, "counts": how many of each
        severity (``tally``), "notes": […]}``."""
        found, broken = self.episodes
        notes = [f"{broken} damaged alert entries were left out"] if broken else []
        return {"alerts": [strict(alert.to_dict()) for alert in found], "counts": tally(found), "notes": notes}

    def first_alert(self, step: int | None) -> int | None:
        """Which of ``alerts`` a reader at ``step`` should see first: of the warnings that were open then and the errors
        up to then; None without any. What the run has recovered from is told by its LW910."""
        alerts, until = self.episodes[0], math.inf if step is None else step
        there = [alert for alert in alerts if alert.step <= until and not alert.recovered_from]
        over = [alert.closed_step is not None and alert.closed_step <= until for alert in there]
        least = [Severity.ERROR if gone else Severity.WARNING for gone in over]
        first = first_to_show(alert for alert, severity in zip(there, least) if alert.severity >= severity)
        return next((place for place, alert in enumerate(alerts) if alert is first), None)

    def verdict(self) -> dict[str, Any]:
        """``{"verdict", "message"}`` as last written, the ``next_run`` of an alert, and what stands ``besides``:
        what of a run that passes is not well, and what was not judged. None what a run does not say."""
        told = next((alert.next_run for alert in self.episodes[0] if alert.next_run is not None), None)
        reported = next((event.document(dict) for event in self.log.events(tags.VERDICT)), None) or {}
        words = {name: value for name, value in reported.items() if isinstance(value, str)}
        message = words.get("message") if "verdict" in words else None
        verdict, next_run = words.get("verdict"), told and told.to_dict()
        passed = passes(self.episodes[0], command="") if verdict == "ok" else ""
        left_out = muted(self.schemas[0][-1][1].get("muted") or ()) if self.schemas[0] else ""
        besides = " ".join(filter(None, [passed, left_out])) or None
        return {"verdict": verdict, "message": message, "next_run": next_run, "besides": besides}

    # -- numbers -----------------------------------------------------------------------------------------------------
    def metric(self, name: str) -> Decoded:
        """A metric of every adapter in the order of the latest schema, and notes. A run whose set of adapters changed
        stays one picture: unknown where an adapter was not there. Events that do not fit are left out. Raises
        NotThereError."""
        events = self._events(tags.METRIC_PREFIX + name)
        schemas, notes = self.schemas
        if not schemas:
            return _plain(events)
        places = [{adapter["name"]: i for i, adapter in enumerate(schema["adapters"])} for _, schema in schemas]
        orders = [np.array([place.get(name, -1) for name in self.names], int) for place in places]
        begins, rows = [at.step for at, _ in schemas], []
        for event in events:
            at = max(bisect_right(begins, event.step) - 1, 0)
            if at and begins[at] == event.step and event.wall_time < schemas[at][0].wall_time:
                at -= 1  # the adapters have changed after it
            if (vector := event.vector) is not None and len(vector) == len(schemas[at][1]["adapters"]):
                rows.append((event.step, np.append(vector, _UNKNOWN)[orders[at]]))
        lost = len(events) - len(rows)
        more = [f"{lost} events were left out: they do not fit the list of adapters"] if lost else []
        return _stacked(rows, len(self.names)), [*notes, *more]

    def series(self, name: str) -> Decoded:
        """A small vector such as ``loss`` by step, and notes. Raises NotThereError."""
        return _plain(self._events(tags.SERIES_PREFIX + name))

    def _events(self, tag: str) -> list[Event]:
        if tag not in self.log.tags:
            raise NotThereError(f"there is no {tag!r} in this run")
        return self.log.events(tag)

    def series_at(self, name: str, steps: Collection[int] | None = None) -> dict[int, float]:
        """The first number of a small vector such as ``loss`` at those of ``steps`` that have it."""
        wanted = None if steps is None else set(steps)
        return {
            event.step: float(event.vector[0])
            for event in self.log.events(tags.SERIES_PREFIX + name)
            if (wanted is None or event.step in wanted)
            and event.vector is not None
            and len(event.vector)
            and event.vector.view("<u4")[0] != tags.UNKNOWN_BITS
        }


def spread(found: Decoded) -> Decoded:
    """The QUANTILES of a metric over the adapters at each step, of the finite ones. Every column of a step in which
    some adapter is not finite carries that adapter's flag."""
    series, notes = found
    rows = np.where(series.flags == 0, series.values, np.float32(np.nan))
    levels = quantiles(rows).astype(np.float32)
    flags = np.bitwise_or.reduce(series.flags & ~np.uint8(UNKNOWN), axis=1)
    flags |= np.where(np.isnan(levels[:, 0]) & (flags == 0), np.uint8(UNKNOWN), np.uint8(0))
    return Series(series.steps, levels, np.repeat(flags[:, None], len(QUANTILES), axis=1)), notes


def rates_of(told: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """The adapters' peak learning rate, which is the script's unless the run had another (long warm-up, recovery); and
    the script's; None where unknown. ``told``: a report or a schema."""
    try:
        rate, peaks = (told.get("config") or {}).get("learning_rate"), [*map(float, told.get("peak_lr") or ())]
        factor = float(told.get("lr_factor") or 1.0)
        planned = None if rate is None else float(rate) * factor
        if planned is not None and any(math.isclose(planned, peak) for peak in peaks):  # LoRA+ has more groups
            return planned, rate
        groups = {adapter.get("group") for adapter in told["adapters"]}  # a new head keeps its own in a recovery
        highest = max([peak for group, peak in enumerate(peaks) if group in groups] or peaks, default=rate)
        return highest, highest / factor if rate is None and highest is not None else rate  # of a plain loop
    except MISFITS:
        return None, None


def _is_schema(content: Any) -> bool:
    """``content``, a document, says of which adapters the vectors after it are."""
    return (
        isinstance(content, dict)
        and isinstance(content.get("version", 0), int)
        and isinstance(content.get("adapters"), list)
        and all(isinstance(adapter, dict) and isinstance(adapter.get("name"), str) for adapter in content["adapters"])
    )


def _plain(events: list[Event]) -> Decoded:
    """Rows of the latest length."""
    read = [(event.step, event.vector) for event in events]
    known = [(step, vector) for step, vector in read if vector is not None]
    width = len(known[-1][1]) if known else 0
    good = [(step, vector) for step, vector in known if len(vector) == width]
    lost = len(events) - len(good)
    notes = [f"{lost} events were left out: they are no vectors of {width} numbers"] if lost else []
    return _stacked(good, width), notes


def _stacked(rows: list[tuple[int, np.ndarray]], width: int) -> Series:
    values = np.stack([row for _, row in rows]) if rows else np.zeros((0, width), np.float32)
    return Series.of([step for step, _ in rows], values)
