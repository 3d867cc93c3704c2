"""Builds TensorBoard's protocol buffers; the only file that knows them.

Lists of values go together into the summary of one event.
"""

# Generated protocol buffer modules define their names at run time:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_shape_pb2, types_pb2
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from tensorboard.plugins.hparams import metadata as hparams_metadata

from lora_watch.records import FloatArray
from lora_watch.sinks import tags


def event(values: Iterable[Any]) -> Any:
    """One event of these values; whoever writes it sets its step and wall time."""
    return event_pb2.Event(summary=summary_pb2.Summary(value=values))


def tensor(tag: str, content: FloatArray | NDArray[np.float32] | bytes, explanation: bytes) -> Any:
    """A tensor of our plugin: a string, or numbers stored as float32. ``explanation`` goes with it."""
    if isinstance(content, bytes):
        value = _ours(tag, explanation)
        value.tensor.dtype = types_pb2.DT_STRING
        value.tensor.string_val.append(content)
        return value
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes Inf, as it should
        data = content.astype("<f4")
    value = summary_pb2.Summary.Value()
    value.CopyFrom(_empty(tag, data.shape, explanation))  # field by field would take three times as long
    value.tensor.tensor_content = data.tobytes()
    return value


@functools.lru_cache(maxsize=256)
def _empty(tag: str, shape: tuple[int, ...], explanation: bytes) -> Any:
    value = _ours(tag, explanation)
    value.tensor.dtype = types_pb2.DT_FLOAT
    value.tensor.tensor_shape.dim.extend(tensor_shape_pb2.TensorShapeProto.Dim(size=size) for size in shape)
    return value


def _ours(tag: str, explanation: bytes) -> Any:
    value = summary_pb2.Summary.Value(tag=tag)
    value.metadata.plugin_data.plugin_name = tags.PLUGIN_NAME
    value.metadata.plugin_data.content = explanation
    value.metadata.data_class = summary_pb2.DATA_CLASS_TENSOR
    return value


def scalars(numbers: Mapping[str, float]) -> list[Any]:
    """Plain scalars by tag, as ``add_scalar`` writes them."""
    return [summary_pb2.Summary.Value(tag=tag, simple_value=number) for tag, number in numbers.items()]


def text(tag: str, markdown: str) -> list[Any]:
    """As ``add_text`` writes it."""
    from torch.utils.tensorboard import summary

    return list(summary.text(tag, markdown).value)


def custom_scalars(layout: Mapping[str, Mapping[str, list[Any]]]) -> list[Any]:
    """As ``add_custom_scalars`` writes it: {category: {chart: ["Multiline" | "Margin", tags]}}."""
    from torch.utils.tensorboard import summary

    return list(summary.custom_scalars(layout).value)


def hparams_start(values: Mapping[str, float | str], metric_tags: Iterable[str]) -> list[Any]:
    """As ``add_hparams`` writes it, without its second writer and its made-up metrics."""
    from torch.utils.tensorboard import summary

    experiment, start, _ = summary.hparams(dict(values), dict.fromkeys(metric_tags, 0.0))
    return [*experiment.value, *start.value]


def hparams_end(succeeded: bool) -> list[Any]:
    """The outcome of the session that ``hparams_start`` began; without it TensorBoard says unknown."""
    status = api_pb2.STATUS_SUCCESS if succeeded else api_pb2.STATUS_FAILURE
    end = plugin_data_pb2.HParamsPluginData(session_end_info=plugin_data_pb2.SessionEndInfo(status=status))
    metadata = hparams_metadata.create_summary_metadata(end)
    return [summary_pb2.Summary.Value(tag=hparams_metadata.SESSION_END_INFO_TAG, metadata=metadata)]
