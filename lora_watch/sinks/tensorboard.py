"""Writes a run into a TensorBoard event file: all numbers of a step in one event.

| tag | what |
|---|---|
| `lora_watch/schema` | JSON of `schema()`: the adapters in the order of every vector, rules, configuration |
| `lora_watch/m/<metric>` | float32 `[n_adapters]` for each metric that was measured at the step |
| `lora_watch/spectrum` | float32 `[n_adapters, r]`: every σ of ΔW, about 100 times a run and at alerts |
| `lora_watch/s/<name>` | float32 `[1]`: `loss`, `lr_fraction`, `overhead`, the record's other scalars |
| `lora_watch/s/zone` | float32 `[1]`: what the run is called at the step, a place in the schema's list `zones` |
| `lora_watch/s/size` | float32 `[1]`: `StepRecord.size`, depth-scaled, as the rules compare it; where it was measured |
| `lora_watch/s/lr`, `…/effective_lr` | float32 `[n_groups]`; effective: lr times the largest scale in the group |
| `lora_watch/alerts` | JSON list of the alerts that opened, changed or closed, at most one event a step |
| `lora_watch/verdict` | JSON `{"verdict", "message"}`: `running`, then `ok`, `unhealthy`, `failed` or `interrupted` |
| `lora/{output_ratio,delta_norm}/{max,median}` | plain scalars over the adapters that have a number |
| `lora/scale`, `lora/effective_lr` | plain scalar: the largest of any adapter |
| `lora/nonfinite_adapters` | how many adapters have a measured NaN or Inf |
| `lora/loss` | plain scalar |
| `lora/alerts/{info,warning,error}` | how many episodes have opened so far; written when that changes |
| `lora/alerts` (text) | the alerts in words: a courtesy, TensorBoard drops old texts |

That is a dozen plain scalars. With ``all_scalars`` there are `lora/<metric>/{max,median,p10,p90}` of every metric,
`lora/overhead` and `lora/<scalar>` as well.

Besides these a Custom Scalars layout and the hyperparameters r, alpha, scale, rslora and lr.

One event instead of one a number is 20 times smaller and over 100 times faster to write. Tags of `lora_watch/` carry
the plugin's name and DATA_CLASS_TENSOR on every event, because some readers take a nameless tensor for a number.
"""

from __future__ import annotations

import atexit
import errno
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lora_watch.alerts import Alert, Severity
from lora_watch.records import FloatArray, Reading, RunInfo, StepRecord
from lora_watch.rules.zone import NUMBER, described
from lora_watch.sinks import Verdict, events, tags
from lora_watch.sinks.background import Background
from lora_watch.sinks.files import names_the_path
from lora_watch.sinks.history import AlertHistory, News
from lora_watch.sinks.thinning import Thinning
from lora_watch.strict_json import adapter_fields, strict_json

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

QUANTILES = {"max": 1.0, "median": 0.5, "p10": 0.1, "p90": 0.9}
ONE_NUMBER_IS_ENOUGH = ("scale", "effective_lr")
"""Metrics that seldom differ between adapters: their largest value stands for all."""
USUAL_METRICS = ("output_ratio", "delta_norm", *ONE_NUMBER_IS_ENOUGH)
"""Metrics among the plain scalars where not all are wanted: more would flood TensorBoard's own dashboards."""
USUAL_QUANTILES = ("max", "median")
HPARAM_METRICS = (
    "lora/loss",
    "lora/delta_norm/max",
    "lora/output_ratio/max",
    "lora/alerts/error",
    "lora/alerts/warning",
)
"""Scalars shown with the hyperparameters, by the tags under which they are written anyway."""
SPECTRA = 100
"""How often the whole spectrum is written in a run, at even distances, besides at steps of alerts."""
RETRY_SECONDS = 10.0
SPARE_BYTES = 1 << 20
"""What is left of a disk's room belongs to the checkpoints."""
FLUSH_SECONDS = 2.0
"""What a killed run may lose. A writer's own pace, with the Trainer two minutes, is too slow to be followed."""


class TensorBoardSink:
    """Writes to somebody else's SummaryWriter, or to its own when nobody else has one.

    Two writers in one directory make TensorBoard's Python loader drop curves, so a writer that exists is shared.

    The training thread only hands the numbers over; a thread of the sink's own turns them into events. Alerts are on
    disk before ``write`` returns, everything else two seconds later at most, whatever the writer's own pace. Closing
    the writer, ``finish`` and the end of the interpreter wait for what has been handed over. Long runs thin out (see
    ``thinning``). What goes wrong in the background is raised by the next call.

    A writer of TensorBoard's that has failed once raises that for ever, to all who share it. So the disk is asked
    before each event, which is dropped where there is no room. Where the writer fails all the same, or its directory is
    gone, the file is given up; another one begins when its owner writes again, the sink after ``RETRY_SECONDS``.

    Args:
        writer_source: Returns the ``torch.utils.tensorboard.SummaryWriter`` to share. It is asked at each write,
            since the Trainer's is made late and gone before the end. While it returns None or a closed writer,
            steps are dropped; the schema and what else a reader needs first are written when a writer appears.
        directory: Where the sink keeps its own writer when ``writer_source`` is not given, or has none to share
            when the run starts. Training that resumes at an earlier step hides the later steps of the session before.
        all_scalars: Every metric as plain scalars, for viewers without the tab; else a dozen of them.

    Raises:
        ValueError: neither of the two is given.
    """

    def __init__(
        self,
        writer_source: Callable[[], SummaryWriter | None] | None = None,
        directory: str | os.PathLike[str] | None = None,
        all_scalars: bool = False,
    ):
        if writer_source is None and directory is None:
            raise ValueError("give TensorBoardSink a writer to share (writer_source) or a directory of its own")
        self._source = writer_source
        self._directory = directory
        self._all_scalars = all_scalars
        self.folder: Path | None = None
        """Where the events are; None before there is a writer."""
        self._own: SummaryWriter | None = None
        self._writer: SummaryWriter | None = None
        """The one that ``_file`` belongs to."""
        self._file: _EventFile | None = None
        self._next_try = 0.0  # time.monotonic()
        self._background = Background("lora_watch-tensorboard")
        self._thinning: Thinning[_Step] = Thinning()
        self._history = AlertHistory()
        self._run = RunInfo(adapters=())
        self._start_step = self._step = self._next_spectrum = 0
        self._alerts_of_step: list[Alert] = []

    def start(self, run: RunInfo, step: int) -> None:
        """Writes the schema, now or as soon as there is a writer. Raises OSError if the own directory is unusable."""
        atexit.unregister(self.flush)
        atexit.register(self.flush)
        nothing_to_share = self._file is None and (self._source is None or self._source() is None)
        if nothing_to_share and self._directory is not None:
            # Steps up to the one resumed at stay valid; a run from the beginning replaces all.
            self._own = self._new_writer(self._directory, purge_step=step + 1 if step else 0)
        if (known := self._file) is not None:  # the set of adapters has changed
            self._hand_over(self._thinning.rest())
            self._background.do(partial(known.begin, run, step))
        self._run, self._start_step, self._next_spectrum = run, step, step
        self._find_file()
        self._check()

    def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
        news = self._history.update(alerts)
        # A step that is written twice replaces itself, so the second time must say all that the first did.
        known = self._alerts_of_step if record.step == self._step else []
        self._step, self._alerts_of_step = record.step, [*(old for old in known if old not in alerts), *alerts]
        before = self._file
        if self._find_file() is None:
            return
        if self._file is not before:  # the writer came late, or has begun another file: it knows of no alert so far
            self._alerts_of_step = alerts = list(self._history)
        keep = bool(self._alerts_of_step)
        spectrum = record.spectrum is not None and (keep or record.step >= self._next_spectrum)
        if spectrum:
            self._next_spectrum = record.step + -(-(self._run.max_steps or 50 * SPECTRA) // SPECTRA)
        step = _Step(
            record,
            spectrum,
            strict_json([alert.to_dict() for alert in self._alerts_of_step]) if alerts else None,
            "\n\n---\n\n".join(map(_in_words, news)),
            self._history.counts,
        )
        worth = len(record.metrics) + 1000 * spectrum
        self._hand_over(self._thinning.take(step, record.step, worth=worth, keep=keep))
        if news:
            self._settle()
        self._check()

    def flush(self) -> None:
        """Waits until all that was written is on disk, a minute at most. Called at the interpreter's end, too."""
        self._hand_over(self._thinning.rest())
        self._settle()

    def finish(self, verdict: Verdict, message: str | None) -> None:
        """Says how the run ended if the writer still exists, and closes it if it is the sink's own."""
        atexit.unregister(self.flush)
        if (file := self._find_file()) is not None:
            self._hand_over(self._thinning.rest())
            self._background.do(partial(file.end, verdict, message, self._step))
        self._settle()
        try:
            self._check()
        finally:
            self._let_go()
            if self._own is not None:
                self._own.close()
            self._own = None

    def _hand_over(self, steps: Sequence[_Step]) -> None:
        if (file := self._file) is not None:
            for step in steps:
                self._background.do(partial(file.write, step))

    def _settle(self) -> None:
        """Waits until everything handed over is on disk, but not forever: training is more than its log."""
        if (file := self._file) is not None:
            self._background.do(file.flush)
        self._background.settle(timeout=60.0)

    def _new_writer(self, directory: str | os.PathLike[str], purge_step: int | None = None) -> SummaryWriter:
        self._next_try = time.monotonic() + RETRY_SECONDS
        with names_the_path(Path(directory), "cannot write TensorBoard's events"):
            os.makedirs(directory, exist_ok=True)
            _ask_the_disk(directory)
            from torch.utils.tensorboard import SummaryWriter

            return SummaryWriter(directory, purge_step=purge_step)

    def _check(self) -> None:
        """Raises what went wrong in the background, and gives up a file that could not be written."""
        if not self._background.failed and not (self._file is not None and self._file.failed):
            return  # at every step: the path alone would cost as much as all else here
        with names_the_path(Path(getattr(self._writer, "log_dir", "")), "TensorBoard's events are lost"):
            try:
                self._background.check()
            finally:
                if self._file is not None and self._file.failed and self._writer is not None:
                    writer = self._writer
                    self._let_go()
                    writer.file_writer = writer.all_writers = None  # as if it were closed

    def _find_file(self) -> _EventFile | None:
        """The file to write to now, None when there is none or it is closed. A new one gets its own header."""
        if self._own is not None and self._own.file_writer is None and time.monotonic() >= self._next_try:
            with suppress(OSError):  # has been said
                self._own = self._new_writer(self._own.log_dir)
        writer = self._own
        if writer is None and self._source is not None:
            writer = self._source()
        # A closed SummaryWriter has no file, and would quietly open a second one if it were written to.
        file = getattr(writer, "file_writer", None)
        if file is None or writer is None:
            self._let_go()
        elif self._file is None or self._file.handle is not file:
            self._let_go()
            self._writer, self._file = writer, _EventFile(file, self._all_scalars)
            self.folder = Path(writer.log_dir)
            self._background.do(partial(self._file.begin, self._run, self._start_step))
            writer.close = self._closed_by_its_owner  # type: ignore[method-assign]
        return self._file

    def _closed_by_its_owner(self) -> None:
        """In place of the writer's ``close``: what is under way to its file must reach it first."""
        writer = self._writer
        self.flush()
        self._let_go()
        if writer is not None:
            writer.close()

    def _let_go(self) -> None:
        """Forget the file, and leave its writer as it was found."""
        if self._writer is not None:
            vars(self._writer).pop("close", None)
        self._writer = self._file = None


class _Step(NamedTuple):
    """What the training thread hands over: nothing in it changes any more."""

    record: StepRecord
    spectrum: bool
    """The whole spectrum is to be written, too."""
    alerts: bytes | None
    """JSON of the step's alerts."""
    news: str
    """What opened or closed, in Markdown."""
    counts: Counter[Severity]
    """Episodes so far."""


class _EventFile:
    """One event file and what it has been told. Used by one thread at a time."""

    def __init__(self, handle: Any, all_scalars: bool):
        self._all_scalars = all_scalars
        self.handle = handle
        """Torch's FileWriter."""
        self._tags: set[str] = set()  # tags that it has explained
        self._charted: list[str] = []  # metrics that its Custom Scalars layout shows
        self._counts: Counter[Severity] | None = None
        self._flushed = time.monotonic()
        self.failed = False
        """It could not be written to, and nothing more is tried."""

    def begin(self, run: RunInfo, step: int) -> None:
        """What a reader needs first, at the start and whenever the set of adapters has changed."""
        values = [self._value(tags.SCHEMA, strict_json(schema(run))), self._verdict("running", None)]
        self._add([*values, *events.hparams_start(hyperparameters(run), HPARAM_METRICS)], step)
        self.flush()

    def write(self, step: _Step) -> None:
        record = step.record
        values = [
            *(
                self._value(tags.METRIC_PREFIX + name, unknown_marked(reading))
                for name, reading in record.metrics.items()
            ),
            *(self._value(tags.SERIES_PREFIX + name, array) for name, array in series(record).items()),
            *events.scalars(plain_scalars(record, self._all_scalars)),
            *([] if step.counts == self._counts else events.scalars(plain_counts(step.counts))),
        ]
        self._counts = step.counts
        if new := [name for name in record.metrics if name not in self._charted]:
            self._charted += new
            values += events.custom_scalars(layout(self._charted, self._all_scalars))
        if step.spectrum and record.spectrum is not None:
            values.append(self._value(tags.SPECTRUM, record.spectrum))
        if step.alerts is not None:
            values.append(self._value(tags.ALERTS, step.alerts))
        if step.news:
            values += events.text(tags.SCALAR_PREFIX + "alerts", step.news)
        self._add(values, record.step)
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def end(self, verdict: Verdict, message: str | None, step: int) -> None:
        values = [*events.hparams_end(verdict == "ok"), self._verdict(verdict, message)]
        if self._counts is not None:
            values += events.scalars(plain_counts(self._counts))  # for charts that end where the run does
        self._add(values, step)
        self.flush()

    def flush(self) -> None:
        with self._giving_up_if_it_fails():
            if not self.failed:
                self.handle.flush()
        self._flushed = time.monotonic()

    def _verdict(self, verdict: str, message: str | None) -> Any:
        return self._value(tags.VERDICT, strict_json({"verdict": verdict, "message": message}))

    def _value(self, tag: str, content: FloatArray | NDArray[np.float32] | bytes) -> Any:
        """A value of the format. What it is stands with a tag's first value only: readers keep the first."""
        explanation = b"" if tag in self._tags else strict_json({"version": tags.FORMAT_VERSION})
        self._tags.add(tag)
        return events.tensor(tag, content, explanation)

    def _add(self, values: Sequence[Any], step: int) -> None:
        event = events.event(values)
        if not self.failed:
            try:
                _ask_the_disk(self.handle.get_logdir())
            except FileNotFoundError:
                self.failed = True
                raise
            with self._giving_up_if_it_fails():
                self.handle.add_event(event, step)

    @contextmanager
    def _giving_up_if_it_fails(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self.failed = True
            raise


def _ask_the_disk(directory: str | os.PathLike[str]) -> None:
    """Raises OSError where nothing can be written, without trying to."""
    if "://" in str(directory):  # TensorBoard writes to object stores, too
        return
    if shutil.disk_usage(directory).free < SPARE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if not os.access(directory, os.W_OK):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))


# -- what is written, as plain numbers ---------------------------------------------------------------------------
def schema(run: RunInfo) -> dict[str, Any]:
    """What a reader must know before the vectors mean anything. ``adapters`` is in the order of every vector."""
    return {
        "version": tags.FORMAT_VERSION,
        "adapters": [adapter_fields(adapter) for adapter in run.adapters],
        "rules": run.rules,
        "zones": described(run.rules),
        "max_steps": run.max_steps,
        "optimizer": run.optimizer,
        "peak_lr": run.peak_lr,
        "config": run.config,
        "versions": run.versions,
        "notes": run.notes,
    }


def unknown_marked(reading: Reading) -> FloatArray | NDArray[np.float32]:
    """``[n]``, as float32 with the format's own NaN where a number is unknown, if any is."""
    if reading.known.all():
        return reading.values
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes Inf, as it should
        marked = reading.values.astype(np.float32)
    marked.view(np.uint32)[~reading.known] = tags.UNKNOWN_BITS
    return marked


def series(record: StepRecord) -> dict[str, FloatArray]:
    """The small vectors of one step: float64 ``[1]``, or ``[n_groups]`` for ``lr`` and ``effective_lr``."""
    out = {name: np.array([value]) for name, value in _single_numbers(record).items()}
    out["zone"] = np.array([float(NUMBER[record.zone])])
    if record.size is not None:
        out["size"] = np.array([record.size])
    if record.lr:
        out["lr"] = np.array(record.lr)
        out["effective_lr"] = group_effective_lr(record)
    return out


def group_effective_lr(record: StepRecord) -> FloatArray:
    """``[n_groups]``: lr of each parameter group times the largest scale of its adapters; NaN where it has none."""
    adapters = record.run.adapters
    live = record.metrics.get("scale")
    scales = np.array([adapter.scale for adapter in adapters]) if live is None else live.values
    groups = np.array([-1 if adapter.group is None else adapter.group for adapter in adapters], dtype=int)
    largest = [np.fmax.reduce(scales[groups == group], initial=np.nan) for group in range(len(record.lr))]
    return np.array(largest) * record.lr


def plain_counts(alerts: Counter[Severity]) -> dict[str, float]:
    """How many episodes have opened so far, by full tag."""
    return {f"{tags.SCALAR_PREFIX}alerts/{severity.name.lower()}": float(alerts[severity]) for severity in Severity}


def plain_scalars(record: StepRecord, everything: bool = False) -> dict[str, float]:
    """The step for viewers without the plugin, by full tag: what is usual, or ``everything``.

    Adapters a metric cannot have are left out of it.
    """
    singles = _single_numbers(record)
    out = {name: singles[name] for name in singles if (everything and name != "lr_fraction") or name == "loss"}
    readings = {name: reading for name, reading in record.metrics.items() if reading.known.any()}
    if readings:
        bad = [reading.known & ~np.isfinite(reading.values) for reading in readings.values()]
        out["nonfinite_adapters"] = float(np.any(bad, axis=0).sum())
    shown = {name: reading.measured for name, reading in readings.items() if everything or name in USUAL_METRICS}
    for name, numbers in zip(shown, quantiles(np.stack([*shown.values()])).tolist() if shown else ()):
        by_quantile = dict(zip(QUANTILES, numbers))
        if name in ONE_NUMBER_IS_ENOUGH:
            out[name] = by_quantile["max"]
        else:
            out |= {f"{name}/{q}": by_quantile[q] for q in (QUANTILES if everything else USUAL_QUANTILES)}
    return {tags.SCALAR_PREFIX + name: value for name, value in out.items()}


def quantiles(rows: FloatArray) -> FloatArray:
    """``[m, len(QUANTILES)]`` of ``rows`` ``[m, n]``, linear between neighbours and NaN ignored.

    A row without a number gives NaN. Infinity counts as the large number it stands for.
    """
    ordered = np.sort(rows, axis=1)  # NaN goes to the end
    last = np.maximum(np.count_nonzero(~np.isnan(rows), axis=1) - 1, 0)
    position = last[:, None] * np.array(list(QUANTILES.values()))
    below = np.floor(position).astype(int)
    low = np.take_along_axis(ordered, below, axis=1)
    high = np.take_along_axis(ordered, np.ceil(position).astype(int), axis=1)
    with np.errstate(invalid="ignore"):  # inf - inf, replaced in the next line
        between = low + (high - low) * (position - below)
    return np.where(low == high, low, between)


def layout(metrics: Sequence[str], everything: bool = False) -> dict[str, dict[str, list[Any]]]:
    """Custom Scalars as torch takes it: adapters and run, of what ``plain_scalars`` gives. Lines are regexes."""
    spread = [name for name in metrics if name not in ONE_NUMBER_IS_ENOUGH and (everything or name in USUAL_METRICS)]
    charts = {
        "LoRA: adapters, largest and median": {
            f"{name}, max and median": ["Multiline", [f"lora/{name}/(max|median)$"]] for name in spread
        },
        "LoRA: run": {
            "loss": ["Multiline", ["lora/loss$"]],
            "scale": ["Multiline", ["lora/scale$"]],
            "alerts so far": ["Multiline", ["lora/alerts/(info|warning|error)$"]],
            "adapters with NaN or Inf": ["Multiline", ["lora/nonfinite_adapters$"]],
        },
    }
    if everything:
        charts["LoRA: run"]["loss spike score"] = ["Multiline", ["lora/loss_spike_score$"]]
        charts["LoRA: adapters, 10th to 90th percentile"] = {
            name: ["Margin", [f"lora/{name}/{quantile}" for quantile in ("median", "p10", "p90")]] for name in spread
        }
    return charts


def hyperparameters(run: RunInfo) -> dict[str, float | str]:
    """r, alpha and scale as most adapters have them, rsLoRA if any has it, and the highest learning rate."""
    out: dict[str, float | str | None] = {
        "r": _most_common(adapter.r for adapter in run.adapters),
        "alpha": _most_common(adapter.alpha for adapter in run.adapters),
        "scale": _most_common(adapter.scale for adapter in run.adapters),
        "rslora": str(any(adapter.scale_formula == "alpha/sqrt(r)" for adapter in run.adapters)).lower(),
    }
    if run.peak_lr:
        out["lr"] = max(run.peak_lr)
    return {name: value for name, value in out.items() if value is not None}


def _single_numbers(record: StepRecord) -> dict[str, float]:
    named = {"loss": record.loss, "lr_fraction": record.lr_fraction, "overhead": record.overhead}
    return {**{name: value for name, value in named.items() if value is not None}, **record.scalars}


def _most_common(values: Any) -> Any:
    counts = Counter(values).most_common(1)
    return counts[0][0] if counts else None


def _in_words(news: News) -> str:
    event, alert = news
    head = f"Closed at step {alert.closed_step}; steps it held: {alert.lasted}\n" if event == "closed" else ""
    return (head + str(alert)).replace("\n", "  \n")  # Markdown's line break
