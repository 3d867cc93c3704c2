"""Builds TensorBoard's protocol buffers; the only file that knows them.

A value is made as its bytes: of one tag and shape all but the numbers is the same at each step, and objects that are
filled field by field take five times as long. Lists of values go together into the summary of one event.
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

from lora_watch.base.records import FloatArray
from lora_watch.format import tags


def event(values: Iterable[bytes]) -> Any:
    """One event of these values; whoever writes it sets its step and wall time."""
    summary = b"".join([_VALUE + _length(value) + value for value in values])
    return event_pb2.Event.FromString(_SUMMARY + _length(summary) + summary)


# What stands before a field of bytes: its number and kind in one byte, then its length.
_SUMMARY = b"\x2a"  # of an event
_VALUE = b"\x0a"  # of a summary
_SIMPLE_VALUE = b"\x15"  # of a value: four bytes, without a length
_TENSOR = b"\x42"  # of a value; what stands there twice is merged
_TENSOR_CONTENT = b"\x22"  # of a tensor


def _length(content: bytes) -> bytes:
    """Seven bits a byte, the lowest first."""
    left, out = len(content), bytearray()
    while left > 127:
        out.append(left & 127 | 128)
        left >>= 7
    out.append(left)
    return bytes(out)


def tensor(tag: str, content: FloatArray | NDArray[np.float32] | bytes, explanation: bytes) -> bytes:
    """A tensor of our plugin: a string, or numbers stored as float32. ``explanation`` goes with it. What float32 cannot
    hold becomes Inf: numpy's warning of it is the caller's to switch off."""
    if isinstance(content, bytes):
        value = _ours(tag, explanation)
        value.tensor.dtype = types_pb2.DT_STRING
        value.tensor.string_val.append(content)
        return value.SerializeToString()
    data = content.astype("<f4", copy=False).tobytes()
    inside = _TENSOR_CONTENT + _length(data) + data
    return _empty(tag, content.shape, explanation) + _TENSOR + _length(inside) + inside


@functools.lru_cache(maxsize=256)
def _empty(tag: str, shape: tuple[int, ...], explanation: bytes) -> bytes:
    value = _ours(tag, explanation)
    value.tensor.dtype = types_pb2.DT_FLOAT
    value.tensor.tensor_shape.dim.extend(tensor_shape_pb2.TensorShapeProto.Dim(size=size) for size in shape)
    return value.SerializeToString()


def _ours(tag: str, explanation: bytes) -> Any:
    value = summary_pb2.Summary.Value(tag=tag)
    value.metadata.plugin_data.plugin_name = tags.PLUGIN_NAME
    value.metadata.plugin_data.content = explanation
    value.metadata.data_class = summary_pb2.DATA_CLASS_TENSOR
    return value


def scalars(numbers: Mapping[str, float]) -> list[bytes]:
    """Plain scalars by tag, as ``add_scalar`` writes them. Of what float32 cannot hold see ``tensor``."""
    data = np.array(list(numbers.values()), np.float64).astype("<f4").tobytes()
    return [_tagged(tag) + _SIMPLE_VALUE + data[4 * i : 4 * i + 4] for i, tag in enumerate(numbers)]


@functools.lru_cache(maxsize=256)
def _tagged(tag: str) -> bytes:
    return summary_pb2.Summary.Value(tag=tag).SerializeToString()


def text(tag: str, markdown: str) -> list[bytes]:
    """As ``add_text`` writes it."""
    from torch.utils.tensorboard import summary

    return _bytes_of(summary.text(tag, markdown).value)


def custom_scalars(layout: Mapping[str, Mapping[str, list[Any]]]) -> list[bytes]:
    """As ``add_custom_scalars`` writes it: {category: {chart: ["Multiline" | "Margin", tags]}}."""
    from torch.utils.tensorboard import summary

    return _bytes_of(summary.custom_scalars(layout).value)


def hparams_start(values: Mapping[str, float | str], metric_tags: Iterable[str]) -> list[bytes]:
    """As ``add_hparams`` writes it, without its second writer and its made-up metrics."""
    from torch.utils.tensorboard import summary

    experiment, start, _ = summary.hparams(dict(values), dict.fromkeys(metric_tags, 0.0))
    return _bytes_of([*experiment.value, *start.value])


def hparams_end(succeeded: bool) -> list[bytes]:
    """The outcome of the session that ``hparams_start`` began; without it TensorBoard says unknown."""
    status = api_pb2.STATUS_SUCCESS if succeeded else api_pb2.STATUS_FAILURE
    end = plugin_data_pb2.HParamsPluginData(session_end_info=plugin_data_pb2.SessionEndInfo(status=status))
    metadata = hparams_metadata.create_summary_metadata(end)
    return _bytes_of([summary_pb2.Summary.Value(tag=hparams_metadata.SESSION_END_INFO_TAG, metadata=metadata)])


def _bytes_of(values: Iterable[Any]) -> list[bytes]:
    return [value.SerializeToString() for value in values]
