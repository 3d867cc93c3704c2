"""One event file: all values of a step in one event of TensorBoard's protocol buffers, which ``runs/events`` reads."""

# Generated protocol buffer modules define their names at run time:
# pyright: reportAttributeAccessIssue=false

import errno
import functools
import os
import shutil
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto import event_pb2, summary_pb2, types_pb2
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from tensorboard.plugins.hparams import metadata as hparams_metadata

from lora_watch.base.alerts import Verdict
from lora_watch.base.records import FloatArray, RunInfo, StepRecord
from lora_watch.base.strict_json import strict_json
from lora_watch.format import tags
from lora_watch.sinks import numbers

HPARAM_METRICS = ("lora/loss", "lora/delta_norm/max", "lora/output_ratio/max")
"""Scalars shown with the hyperparameters, by the tags under which they are written anyway."""
SPARE_BYTES = 1 << 20
"""What is left of a disk's room belongs to the checkpoints."""
FLUSH_SECONDS = 1.0
"""A killed run may lose as much, and what is gathered. A writer's own pace, with the Trainer two minutes, is too slow
to be followed."""


_METADATA = summary_pb2.SummaryMetadata(
    plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name=tags.PLUGIN_NAME),
    data_class=summary_pb2.DATA_CLASS_TENSOR,
)


class HandedOver(NamedTuple):
    """Nothing in it changes any more."""

    record: StepRecord
    alerts: bytes | None
    """JSON of the step's alerts."""


class EventFile:
    """One event file and what it has been told. Used by one thread at a time."""

    def __init__(self, handle: Any):
        from torch.utils.tensorboard import summary

        self.handle = handle
        """Torch's FileWriter."""
        self._summary = summary
        self._charted: list[str] = []  # metrics that its Custom Scalars layout shows
        self._flushed = time.monotonic()

    def begin(self, run: RunInfo, step: int) -> None:
        """What a reader needs first, at the start and whenever the set of adapters has changed."""
        event = event_pb2.Event()
        put(event, tags.SCHEMA, strict_json(numbers.schema(run)))
        _put_verdict(event, "running", None)
        # As ``add_hparams`` writes it, without its second writer and its made-up metrics.
        experiment, start, _ = self._summary.hparams(numbers.hyperparameters(run), dict.fromkeys(HPARAM_METRICS, 0.0))
        event.summary.value.extend([*experiment.value, *start.value])
        self._add(event, step)
        self.flush()

    def write(self, step: HandedOver) -> None:
        event, record = event_pb2.Event(), step.record
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes Inf, as it should
            for name, reading in record.metrics.items():
                put(event, tags.METRIC_PREFIX + name, numbers.unknown_marked(reading))
            for name, values in numbers.series(record).items():
                put(event, tags.SERIES_PREFIX + name, values)
            scalars = numbers.plain_scalars(record)  # as ``add_scalar`` writes them
            for tag, number in zip(scalars, np.array([*scalars.values()], np.float64).astype(np.float32).tolist()):
                event.summary.value.add(tag=tag, simple_value=number)
        if new := [name for name in record.metrics if name not in self._charted]:
            self._charted += new
            event.summary.value.extend(self._summary.custom_scalars(numbers.layout(self._charted)).value)
        if step.alerts is not None:
            put(event, tags.ALERTS, step.alerts)
        self._add(event, record.step)
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def write_alerts(self, alerts: bytes, step: int) -> None:
        """Beside what else there is of the step, and in the place of its alerts."""
        event = event_pb2.Event()
        put(event, tags.ALERTS, alerts)
        self._add(event, step)

    def write_series(self, numbers: Mapping[str, float], step: int) -> None:
        event = event_pb2.Event()
        for name, number in numbers.items():
            put(event, tags.SERIES_PREFIX + name, np.array([number]))
        self._add(event, step)

    def end(self, verdict: Verdict, message: str | None, step: int) -> None:
        event = event_pb2.Event()
        # Without it TensorBoard says that the outcome of what ``begin`` began is unknown.
        status = api_pb2.STATUS_SUCCESS if verdict == "ok" else api_pb2.STATUS_FAILURE
        over = plugin_data_pb2.HParamsPluginData(session_end_info=plugin_data_pb2.SessionEndInfo(status=status))
        metadata = hparams_metadata.create_summary_metadata(over)
        event.summary.value.add(tag=hparams_metadata.SESSION_END_INFO_TAG, metadata=metadata)
        _put_verdict(event, verdict, message)
        self._add(event, step)
        self.flush()

    def flush(self) -> None:
        self.handle.flush()
        self._flushed = time.monotonic()

    def _add(self, event: Any, step: int) -> None:
        """Raises OSError where there is no room. A writer of TensorBoard's that has met a full disk raises that for
        ever, to all who share it: so the disk is asked first."""
        ask_the_disk(self.handle.get_logdir())
        self.handle.add_event(event, step)


def put(event: Any, tag: str, content: FloatArray | NDArray[np.float32] | bytes) -> None:
    """Add a tensor of our plugin: a string, or numbers stored as float32. What float32 cannot hold becomes Inf: numpy's
    warning of it is the caller's to switch off."""
    if isinstance(content, bytes):
        tensor = event.summary.value.add(tag=tag, metadata=_METADATA).tensor
        tensor.dtype = types_pb2.DT_STRING
        tensor.string_val.append(content)
    else:
        value = event.summary.value.add()
        value.CopyFrom(_empty(tag, content.shape))
        value.tensor.tensor_content = content.astype("<f4", copy=False).tobytes()


@functools.cache
def _empty(tag: str, shape: tuple[int, ...]) -> Any:
    """To be copied and filled at each step: making it anew takes twice as long."""
    tensor = {"dtype": types_pb2.DT_FLOAT, "tensor_shape": {"dim": [{"size": size} for size in shape]}}
    return summary_pb2.Summary.Value(tag=tag, metadata=_METADATA, tensor=tensor)


def _put_verdict(event: Any, verdict: str, message: str | None) -> None:
    put(event, tags.VERDICT, strict_json({"verdict": verdict, "message": message}))


def ask_the_disk(directory: str | os.PathLike[str]) -> None:
    """Raises OSError where nothing can be written, without trying to."""
    if "://" in str(directory):  # TensorBoard writes to object stores, too
        return
    if shutil.disk_usage(directory).free < SPARE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if not os.access(directory, os.W_OK):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
