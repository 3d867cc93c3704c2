"""From a source of events to what the tab shows: schemas, vectors by step, alerts as episodes.

The events may come from another program, another version or a killed run. What does not fit is left out, and a note
in words says so.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from lora_watch.base.alerts import Alert, Severity, first_to_show
from lora_watch.base.strict_json import strict
from lora_watch.format import tags
from lora_watch.format.decoding import Tensor, document, episodes, is_schema, latest, names, numbers, vectors
from lora_watch.format.quantiles import QUANTILES, quantiles
from lora_watch.tensorboard_plugin.pooling import UNKNOWN, Series
from lora_watch.tensorboard_plugin.tensors import Source, Stamp

CACHE_BYTES = 192 * 2**20
"""Decoded matrices that are kept. One of 560 adapters × 10,000 steps takes 28 MB and 0.3 s to decode."""

MOST_WIDENED = 50_000_000
"""Cells of a matrix whose rows follow other sets of adapters than the latest: a schema alone can claim a million."""


class NotThereError(LookupError):
    """No such run, or nothing of that name in it."""


Key = tuple[str, str, str]
"""Of one tag: the source's name, the run, the tag."""
Decoded = tuple[Series, list[str]]
"""A matrix, and notes."""
Clock = tuple[np.ndarray, np.ndarray]
"""Steps as training last left them, and when each was written."""
Schemas = list[tuple[int, dict[str, Any]]]
"""Those that can be read, each with its first step."""


class Cache:
    """What has been decoded of some sources. Safe to use from several threads."""

    def __init__(self) -> None:
        self._kept: dict[Key, tuple[Any, Decoded]] = {}  # what was asked for last is the last
        self._lock = threading.Lock()
        self.latest_schemas: tuple[Any, Any] | None = None
        """Of the run that was asked for last, as of which stamp, and ``_schemas``: all its metrics follow them."""
        self.clocks: dict[Key, tuple[Any, Clock]] = {}
        """As of which stamp, and ``_clock``: every list of runs asks for it."""

    def get(self, key: Key, stamp: Any, decode: Callable[[], Decoded]) -> Decoded:
        """``decode()``, or what it gave last time if nothing was written since: then ``stamp`` is the same."""
        with self._lock:
            known, result = self._kept.get(key, (None, None))
        if result is None or known != stamp:
            result = decode()
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = stamp, result
            while len(self._kept) > 1 and self._size() > CACHE_BYTES:
                del self._kept[next(iter(self._kept))]
        return result

    def _size(self) -> int:
        return sum(series.values.nbytes + series.flags.nbytes for _, (series, _) in self._kept.values())


class Reader:
    """Reads the runs of one source."""

    def __init__(self, source: Source, cache: Cache | None = None):
        self._source, self._cache = source, cache or Cache()

    def runs(self) -> dict[str, dict[str, Any]]:
        """By run: ``metrics`` and ``series`` it holds, its latest ``step``, and when that was written (``wall_time``).
        Runs without a vector of ours are left out, and tags that a restarted run has not written again."""
        out = {}
        for run, every in self._source.listing().items():
            steps, times = self._clock(run, every)
            began = (steps[0], times[0]) if len(steps) else (0, -math.inf)
            by_tag = {tag: at for tag, at in every.items() if at.step < began[0] or not at.wall_time < began[1]}
            metrics = [tag.removeprefix(tags.METRIC_PREFIX) for tag in by_tag if tag.startswith(tags.METRIC_PREFIX)]
            series = [tag.removeprefix(tags.SERIES_PREFIX) for tag in by_tag if tag.startswith(tags.SERIES_PREFIX)]
            if metrics or series:
                out[run] = {
                    "metrics": sorted(metrics),
                    "series": sorted(series),
                    "step": int(steps[-1]) if len(steps) else max(found.step for found in by_tag.values()),
                    "wall_time": max(found.wall_time for found in by_tag.values()),
                }
        return out

    def schema(self, run: str) -> dict[str, Any]:
        """The latest schema of the run, with ``notes`` of what is wrong with it. Without one, no adapter has a name."""
        schemas, notes = self._schemas(run)
        last = dict(schemas[-1][1]) if schemas else {"adapters": []}
        return {**last, "notes": [*_texts(last.get("notes")), *notes]}

    def rules(self, run: str) -> dict[str, Any]:
        """``{"rules": those of the run, by family}``: see ``lora_watch.rules.guide.texts_of``."""
        from lora_watch.rules.guide import texts_of

        listed = self.schema(run).get("rules")
        rules = listed if isinstance(listed, list) else []
        return {"rules": texts_of(rule for rule in rules if isinstance(rule, dict))}

    def alerts(self, run: str) -> dict[str, Any]:
        """``{"alerts": episodes in the order of opening, each in its latest state, "notes": […]}``."""
        found, broken = self.episodes(run)
        notes = [f"{broken} damaged alert entries were left out"] if broken else []
        return {"alerts": [strict(alert.to_dict()) for alert in found], "notes": notes}

    def episodes(self, run: str) -> tuple[list[Alert], int]:
        """The same as alerts, and how many entries are damaged."""
        return episodes(document(event.tensor, list) for event in self._read_valid(run, tags.ALERTS))

    def first_alert(self, run: str, step: int | None) -> int | None:
        """Which of ``alerts`` a reader at ``step`` should see first: of the warnings that were open then and the errors
        up to then; None without any."""
        alerts, _ = self.episodes(run)
        until = math.inf if step is None else step
        known = [alert for alert in alerts if alert.step <= until and _counts(alert, until)]
        first = first_to_show(known)
        return next((place for place, alert in enumerate(alerts) if alert is first), None)

    def verdict(self, run: str) -> dict[str, Any]:
        """``{"verdict", "message"}`` as last written; both None for a run that says nothing of the kind."""
        for event in reversed(self._read(run, tags.VERDICT)):
            reported = document(event.tensor, dict)
            if reported is not None and isinstance(reported.get("verdict"), str):
                message = reported.get("message")
                return {"verdict": reported["verdict"], "message": message if isinstance(message, str) else None}
        return {"verdict": None, "message": None}

    def evaluation(self) -> dict[str, float]:
        """By run, the last ``eval_loss`` that the Trainer has logged."""
        return self._source.evaluation()

    def spectrum(self, run: str, column: int, step: int | None) -> dict[str, Any]:
        """The singular values of one adapter at ``step``, or at the last step before it that has them.

        ``{"step", "sigma", "first_step", "first_sigma"}``, each None if there is nothing. ``first_sigma``: the first to
        be not all zero. A number that is not finite is None. Raises NotThereError for an adapter that is not there.
        """
        schemas, _ = self._schemas(run)
        if not schemas or not 0 <= column < len(schemas[-1][1]["adapters"]):
            raise NotThereError(f"there is no adapter {column}")
        found = [(at, singular_values(array[column])) for at, array in self.spectra(run)]
        before = [one for one in found if one[1] and (step is None or one[0] <= step)]
        nothing = (None, None)
        last_step, last = before[-1] if before else nothing
        first_step, first = next((one for one in before if any(one[1])), nothing)  # at the start ΔW is zero
        return {"step": last_step, "sigma": last, "first_step": first_step, "first_sigma": first}

    def spectra(self, run: str) -> list[tuple[int, np.ndarray]]:
        """``(step, [n_adapters, r])`` of each spectrum in the order of the latest schema; NaN where there is none."""
        schemas, _ = self._schemas(run)
        if not schemas or not schemas[-1][1]["adapters"]:
            return []
        return _placed(self._read_valid(run, tags.SPECTRUM), schemas, 2)

    def metric(self, run: str, name: str) -> Decoded:
        """A metric of every adapter in the order of the latest schema, and notes. Raises NotThereError."""
        return self._cached(run, tags.METRIC_PREFIX + name, self._aligned)

    def series(self, run: str, name: str) -> Decoded:
        """A small vector such as ``loss`` by step, and notes. Raises NotThereError."""
        return self._cached(run, tags.SERIES_PREFIX + name, self._plain)

    def spread(self, run: str, name: str) -> Decoded:
        """The QUANTILES of a metric over the adapters at each step, of the finite ones. Raises NotThereError. Every
        column of a step in which some adapter is not finite carries that adapter's flag."""
        found, notes = self.metric(run, name)
        rows = np.where(found.flags == 0, found.values, np.float32(np.nan))
        levels = quantiles(rows).astype(np.float32)
        flags = np.bitwise_or.reduce(found.flags & ~np.uint8(UNKNOWN), axis=1)
        flags |= np.where(np.isnan(levels[:, 0]) & (flags == 0), np.uint8(UNKNOWN), np.uint8(0))
        return Series(found.steps, levels, np.repeat(flags[:, None], len(QUANTILES), axis=1)), notes

    # -- from events to arrays ---------------------------------------------------------------------------------------
    def _aligned(self, events: list[Tensor], run: str) -> Decoded:
        """Columns follow the adapters' names, so a run whose set of adapters changed stays one picture."""
        schemas, notes = self._schemas(run)
        if not schemas:
            return self._plain(events, run)
        now = names(schemas[-1][1])
        whole = vectors(events) if all(names(schema) == now for _, schema in schemas) else None
        if whole is not None and whole.shape[1] == len(now):
            return Series.of([event.step for event in events], whole), notes
        good = _placed(events, schemas, 1)
        if len(good) < len(events):
            notes.append(f"{len(events) - len(good)} events were left out: they do not fit the list of adapters")
        return _stacked(good, len(now)), notes

    def _plain(self, events: list[Tensor], run: str) -> Decoded:
        """Rows of the latest length."""
        if (whole := vectors(events)) is not None:
            return Series.of([event.step for event in events], whole), []
        read = [(event.step, numbers(event.tensor)) for event in events]
        good = [(step, vector) for step, vector in read if vector is not None and vector.ndim == 1]
        width = len(good[-1][1]) if good else 0
        good = [(step, vector) for step, vector in good if len(vector) == width]
        lost = len(events) - len(good)
        notes = [f"{lost} events were left out: they are no vectors of {width} numbers"] if lost else []
        return _stacked(good, width), notes

    def _schemas(self, run: str) -> tuple[Schemas, list[str]]:
        """``[(first step, schema)]`` of those that can be read, and notes."""
        stamp = self._source.listing().get(run, {}).get(tags.SCHEMA)
        key, latest_run = (self._source.name, run, stamp), self._cache.latest_schemas
        if latest_run is None or latest_run[0] != key:
            self._cache.latest_schemas = latest_run = key, self._read_schemas(run)
        schemas, notes = latest_run[1]
        return schemas, list(notes)

    def _read_schemas(self, run: str) -> tuple[Schemas, list[str]]:
        events = self._read(run, tags.SCHEMA)
        good = [(event.step, schema) for event in events if is_schema(schema := document(event.tensor, dict))]
        notes = []
        if not good:
            notes.append("this run says nothing of its adapters (no readable schema): they are numbered")
        elif len(good) < len(events):
            notes.append(f"{len(events) - len(good)} damaged schemas were left out")
        if good and good[-1][1].get("version", 0) > tags.FORMAT_VERSION:
            notes.append("this run was written by a newer lora_watch: update it to see everything")
        return good, notes

    def _clock(self, run: str, listing: dict[str, Stamp]) -> Clock:
        """Of a small series that has an event at every step; empty if the run has none."""
        tag = next((tag for name in ("zone", "loss") if (tag := tags.SERIES_PREFIX + name) in listing), None)
        if tag is None:
            return np.zeros(0), np.zeros(0)
        key, stamp = (self._source.name, run, tag), listing[tag]
        if key not in self._cache.clocks or self._cache.clocks[key][0] != stamp:
            ticks = self._read(run, tag)
            clock = np.array([tick.step for tick in ticks]), np.array([tick.wall_time for tick in ticks])
            self._cache.clocks[key] = stamp, clock
        return self._cache.clocks[key][1]

    def _cached(self, run: str, tag: str, decode: Any) -> Decoded:
        """``decode`` of the tag's events. Raises NotThereError."""
        listing = self._source.listing().get(run, {})
        if tag not in listing:
            raise NotThereError(f"there is no {tag!r} in the run {run!r}")
        steps, _ = self._clock(run, listing)
        behind = min([*steps[-1:], listing[tag].step])  # each step of a restarted run replaces what it has passed
        stamp = [listing[tag], listing.get(tags.SCHEMA), behind]
        return self._cache.get((self._source.name, run, tag), stamp, lambda: decode(self._read_valid(run, tag), run))

    def _read_valid(self, run: str, tag: str) -> list[Tensor]:
        """``_read`` of a tag that few steps have, without the events of steps that were trained again.

        A session that began anew may lack the tag, but it overwrites the clock. An event that is older than the clock
        at its step is from before.
        """
        events, (steps, times) = self._read(run, tag), self._clock(run, self._source.listing().get(run, {}))
        if not events or not len(steps):
            return events
        place = np.searchsorted(steps, [event.step for event in events], "right")
        replaced = (place > 0) & (np.array([event.wall_time for event in events]) < times[place - 1])
        return [event for event, gone in zip(events, replaced) if not gone]

    def _read(self, run: str, tag: str) -> list[Tensor]:
        """The events of one tag as training last left them; empty if there are none."""
        return latest(self._source.events(run, tag))


def singular_values(row: np.ndarray) -> list[float | None]:
    """Of one adapter, as far as it has some; None for one that is not finite."""
    there = int(np.flatnonzero(~np.isnan(row))[-1]) + 1 if (~np.isnan(row)).any() else 0
    return [float(x) if np.isfinite(x) else None for x in row[:there]]


def _counts(alert: Alert, step: float) -> bool:
    over = alert.closed_step is not None and alert.closed_step <= step
    return alert.severity >= (Severity.ERROR if over else Severity.WARNING)


def _placed(events: list[Tensor], schemas: Schemas, dimensions: int) -> list[tuple[int, np.ndarray]]:
    """Each event's step and numbers, a row for each adapter of the latest schema: unknown where it had none. Events
    that do not fit are left out."""
    latest, orders, found = names(schemas[-1][1]), [], []
    for _, schema in schemas:
        place = {name: i for i, name in enumerate(names(schema))}
        orders.append([place.get(name, len(schema["adapters"])) for name in latest])
    begins = np.array([step for step, _ in schemas])
    for event in events:
        at = max(int(np.searchsorted(begins, event.step, "right")) - 1, 0)
        array, then = numbers(event.tensor), names(schemas[at][1])
        if array is None or array.ndim != dimensions or len(array) != len(then):
            continue
        if then != latest:
            unknown = np.full((1, *array.shape[1:]), tags.UNKNOWN_BITS, np.uint32).view(np.float32)
            if len(then) != len(latest) and len(events) * len(latest) * unknown.size > MOST_WIDENED:
                continue
            array = np.concatenate([array, unknown])[orders[at]]
        found.append((event.step, array))
    return found


def _stacked(rows: list[tuple[int, np.ndarray]], width: int) -> Series:
    values = np.stack([row for _, row in rows]) if rows else np.zeros((0, width), np.float32)
    return Series.of([step for step, _ in rows], values)


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, (list, tuple)) else []
