"""Where the tab's Reader gets events from; and TensorBoard as such a source.

The tensors of a tag are taken as TensorBoard holds them, not decoded: its own decoding makes 4 GB of one that says so.
"""

# Generated protocol buffer modules define their names at run time:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from lora_watch.format import tags
from lora_watch.format.decoding import Tensor

EVERYTHING = 2**30
"""Points to ask a provider for: it would thin out at random, and here pooling keeps the extremes."""
LAST_STEP = 2**53
"""What a browser can count to."""


class Stamp(NamedTuple):
    """How far the events of a tag go."""

    step: int
    wall_time: float


class Source(Protocol):
    """Where the events of some runs are."""

    @property
    def name(self) -> str:
        """Another one for other runs."""
        ...

    def listing(self) -> dict[str, dict[str, Stamp]]:
        """By run and tag of ours."""
        ...

    def events(self, run: str, tag: str) -> list[Tensor]:
        """Of one tag in the order of writing; none if there are none."""
        ...

    def evaluation(self) -> dict[str, float]:
        """By run, the last ``eval_loss``."""
        ...


class Board:
    """What TensorBoard has read; ``data`` is its data provider, the others what a request says of itself."""

    def __init__(self, data: Any, ctx: Any, experiment: str):
        self._data, self._ctx, self.name = data, ctx, experiment

    def listing(self) -> dict[str, dict[str, Stamp]]:
        found = self._data.list_tensors(self._ctx, experiment_id=self.name, plugin_name=tags.PLUGIN_NAME)
        return {
            run: {tag: Stamp(int(one.max_step), float(one.max_wall_time)) for tag, one in by_tag.items()}
            for run, by_tag in found.items()
        }

    def events(self, run: str, tag: str) -> list[Tensor]:
        """A provider's public way decodes at once: TensorBoard's two (the loader in Python, the one in Rust) are asked
        behind it, and another program's as everybody would."""
        if (multiplexer := getattr(self._data, "_multiplexer", None)) is not None:
            found = _held(multiplexer, run, tag)
        elif (stub := getattr(self._data, "_stub", None)) is not None:
            found = _served(stub, self.name, run, tag)
        else:
            found = _decoded(self._data, self._ctx, self.name, run, tag)
        return [event for event in found if abs(event.step) <= LAST_STEP]

    def evaluation(self) -> dict[str, float]:
        from tensorboard.data import provider

        wanted = provider.RunTagFilter(tags=[tags.EVALUATION])
        found = self._data.read_scalars(
            self._ctx, experiment_id=self.name, plugin_name="scalars", downsample=EVERYTHING, run_tag_filter=wanted
        )
        points = {run: by_tag.get(tags.EVALUATION) for run, by_tag in found.items()}
        return {run: max(some, key=lambda point: point.wall_time).value for run, some in points.items() if some}


def _held(multiplexer: Any, run: str, tag: str) -> Iterator[Tensor]:
    try:
        events = multiplexer.Tensors(run, tag)
    except KeyError:
        return
    for event in events:
        yield Tensor(event.step, event.wall_time, event.tensor_proto.SerializeToString())


def _served(stub: Any, experiment: str, run: str, tag: str) -> Iterator[Tensor]:
    from tensorboard.data.proto import data_provider_pb2

    request = data_provider_pb2.ReadTensorsRequest(experiment_id=experiment)
    request.plugin_filter.plugin_name = tags.PLUGIN_NAME
    request.run_tag_filter.runs.names.append(run)
    request.run_tag_filter.tags.names.append(tag)
    request.downsample.num_points = EVERYTHING
    for of_run in stub.ReadTensors(request).runs:
        for of_tag in of_run.tags:
            values = (value.SerializeToString() for value in of_tag.data.value)
            yield from map(Tensor, of_tag.data.step, of_tag.data.wall_time, values)


def _decoded(data: Any, ctx: Any, experiment: str, run: str, tag: str) -> Iterator[Tensor]:
    from tensorboard.data import provider
    from tensorboard.util import tensor_util

    found = data.read_tensors(
        ctx,
        experiment_id=experiment,
        plugin_name=tags.PLUGIN_NAME,
        downsample=EVERYTHING,
        run_tag_filter=provider.RunTagFilter(runs=[run], tags=[tag]),
    )
    for datum in found.get(run, {}).get(tag, []):
        serialised = tensor_util.make_tensor_proto(datum.numpy).SerializeToString()
        yield Tensor(datum.step, datum.wall_time, serialised)
