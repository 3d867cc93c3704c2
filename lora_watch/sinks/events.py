"""Builds TensorBoard's protocol buffers, which `runs/events.py` reads.

``values`` are those of an event, ``event.summary.value``, to which each function adds some.
"""

# Generated protocol buffer modules define their names at run time:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto import event_pb2, summary_pb2, types_pb2
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from tensorboard.plugins.hparams import metadata as hparams_metadata

from lora_watch.base.records import FloatArray
from lora_watch.format import tags

_METADATA = summary_pb2.SummaryMetadata(
    plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name=tags.PLUGIN_NAME),
    data_class=summary_pb2.DATA_CLASS_TENSOR,
)


def event() -> Any:
    """Without values; whoever writes it sets its step and wall time."""
    return event_pb2.Event()


def tensor(values: Any, tag: str, content: FloatArray | NDArray[np.float32] | bytes, explanation: bytes) -> None:
    """A tensor of our plugin: a string, or numbers stored as float32. ``explanation`` goes with it. What float32 cannot
    hold becomes Inf: numpy's warning of it is the caller's to switch off."""
    value = values.add(tag=tag, metadata=_METADATA)
    value.metadata.plugin_data.content = explanation
    if isinstance(content, bytes):
        value.tensor.dtype = types_pb2.DT_STRING
        value.tensor.string_val.append(content)
    else:
        value.tensor.dtype = types_pb2.DT_FLOAT
        for size in content.shape:
            value.tensor.tensor_shape.dim.add(size=size)
        value.tensor.tensor_content = content.astype("<f4", copy=False).tobytes()


def scalars(values: Any, numbers: Mapping[str, float]) -> None:
    """Plain scalars by tag, as ``add_scalar`` writes them. Of what float32 cannot hold see ``tensor``."""
    for tag, number in zip(numbers, np.array(list(numbers.values()), np.float64).astype(np.float32).tolist()):
        values.add(tag=tag, simple_value=number)


def text(values: Any, tag: str, markdown: str) -> None:
    """As ``add_text`` writes it."""
    from torch.utils.tensorboard import summary

    values.extend(summary.text(tag, markdown).value)


def custom_scalars(values: Any, layout: Mapping[str, Mapping[str, list[Any]]]) -> None:
    """As ``add_custom_scalars`` writes it: {category: {chart: ["Multiline" | "Margin", tags]}}."""
    from torch.utils.tensorboard import summary

    values.extend(summary.custom_scalars(layout).value)


def hparams_start(values: Any, parameters: Mapping[str, float | str], metric_tags: Iterable[str]) -> None:
    """As ``add_hparams`` writes it, without its second writer and its made-up metrics."""
    from torch.utils.tensorboard import summary

    experiment, start, _ = summary.hparams(dict(parameters), dict.fromkeys(metric_tags, 0.0))
    values.extend([*experiment.value, *start.value])


def hparams_end(values: Any, succeeded: bool) -> None:
    """The outcome of the session that ``hparams_start`` began; without it TensorBoard says unknown."""
    status = api_pb2.STATUS_SUCCESS if succeeded else api_pb2.STATUS_FAILURE
    end = plugin_data_pb2.HParamsPluginData(session_end_info=plugin_data_pb2.SessionEndInfo(status=status))
    values.add(tag=hparams_metadata.SESSION_END_INFO_TAG, metadata=hparams_metadata.create_summary_metadata(end))
