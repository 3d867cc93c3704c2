"""The tensors of one tag as TensorBoard holds them, not decoded: its own decoding makes 4 GB of one that says so."""

# Generated protocol buffer modules define their names at run time:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from tensorboard.data import provider

from lora_watch.sinks import tags

EVERYTHING = 2**30
"""Points to ask a provider for: it would thin out at random, and here pooling keeps the extremes."""
LAST_STEP = 2**53
"""What a browser can count to."""


class Event(NamedTuple):
    step: int
    wall_time: float
    tensor: Any
    """A TensorProto."""


def tensors_of(data: Any, ctx: Any, experiment: str, run: str, tag: str) -> Iterator[Event]:
    """The events of one tag of ours in the order of writing, none if there are none; ``data`` is a data provider.

    The public way of a provider decodes at once, so TensorBoard's two (the loader in Python, the one in Rust) are
    asked behind it. Another program's is asked as everybody would.
    """
    if (multiplexer := getattr(data, "_multiplexer", None)) is not None:
        found = _held(multiplexer, run, tag)
    elif (stub := getattr(data, "_stub", None)) is not None:
        found = _served(stub, experiment, run, tag)
    else:
        found = _decoded(data, ctx, experiment, run, tag)
    return (event for event in found if abs(event.step) <= LAST_STEP)


def _held(multiplexer: Any, run: str, tag: str) -> Iterator[Event]:
    try:
        events = multiplexer.Tensors(run, tag)
    except KeyError:
        return
    for event in events:
        yield Event(event.step, event.wall_time, event.tensor_proto)


def _served(stub: Any, experiment: str, run: str, tag: str) -> Iterator[Event]:
    from tensorboard.data.proto import data_provider_pb2

    request = data_provider_pb2.ReadTensorsRequest(experiment_id=experiment)
    request.plugin_filter.plugin_name = tags.PLUGIN_NAME
    request.run_tag_filter.runs.names.append(run)
    request.run_tag_filter.tags.names.append(tag)
    request.downsample.num_points = EVERYTHING
    for of_run in stub.ReadTensors(request).runs:
        for of_tag in of_run.tags:
            yield from map(Event, of_tag.data.step, of_tag.data.wall_time, of_tag.data.value)


def _decoded(data: Any, ctx: Any, experiment: str, run: str, tag: str) -> Iterator[Event]:
    from tensorboard.util import tensor_util

    found = data.read_tensors(
        ctx,
        experiment_id=experiment,
        plugin_name=tags.PLUGIN_NAME,
        downsample=EVERYTHING,
        run_tag_filter=provider.RunTagFilter(runs=[run], tags=[tag]),
    )
    for datum in found.get(run, {}).get(tag, []):
        yield Event(datum.step, datum.wall_time, tensor_util.make_tensor_proto(datum.numpy))
