"""The tab's routes, and commands, over events that hold anything: an answer or one line."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard.compat.proto import event_pb2
from tensorboard.plugins import base_plugin
from tensorboard.summary.writer.record_writer import RecordWriter
from werkzeug.test import Client

from lora_watch.format import tags
from lora_watch.tensorboard_plugin.routes import LoraWatchPlugin
from tests.fuzz.test_readers import inert, run, spoiled
from tests.runs.written import write_run
from tests.sinks.made_up import alert_of
from tests.tensorboard_plugin.serving import Table

short = settings(max_examples=settings().max_examples // 5)
ROUTES = [
    ("runs", {}), ("schema", {}), ("alerts", {}), ("verdict", {}), ("metric", {"metric": "delta_norm"}),
    ("spread", {"metric": "delta_norm"}), ("scalars", {"name": "loss"}),
]  # fmt: skip
TAGS = [tags.SCHEMA, tags.ALERTS, tags.VERDICT, "lora_watch/s/loss", "lora_watch/m/delta_norm"]


class Tab:
    """The plugin over the event files in ``folder``."""

    def __init__(self, folder: Path):
        self._apps = LoraWatchPlugin(base_plugin.TBContext(logdir=str(folder))).get_plugin_apps()

    def ask(self, route: str, **query: str) -> int:
        """The status, after a look at what was answered."""
        reply = Client(self._apps[f"/{route}"]).get("/", query_string={"run": ".", **query})
        if reply.mimetype == "application/json":
            answer = json.loads(reply.get_data(), parse_constant=pytest.fail)
            assert (reply.status_code == 200) == (set(answer) != {"error"})
            inert(texts_in(answer))
        else:
            Table.parse(reply.get_data())
        assert reply.status_code in (200, 400, 404, 422)
        return reply.status_code


def texts_in(answer: Any) -> list[str]:
    if isinstance(answer, dict):
        return [*answer, *(text for value in answer.values() for text in texts_in(value))]
    if isinstance(answer, list):
        return [text for value in answer for text in texts_in(value)]
    return [answer] if isinstance(answer, str) else []


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """The file of events of a run with an alert, and what it holds."""
    folder = tmp_path_factory.mktemp("tab")
    write_run(folder, steps=4, alerts=[alert_of(2, metric="delta_norm", threshold=1.0)], verdict="failed")
    (file,) = folder.rglob("events*")
    content, at, found = file.read_bytes(), 0, []
    while at < len(content):
        length = int.from_bytes(content[at : at + 8], "little")
        found.append(event_pb2.Event.FromString(content[at + 12 : at + 12 + length]))
        at += 16 + length
    return file, found


@short
@given(data=st.data())
def test_any_event_is_read(recorded: tuple[Path, list[Any]], data: st.DataObject) -> None:
    """By the tab and by commands, also from a file in which bytes are others, or that is cut off."""
    file, events = recorded
    spoilt = [event_pb2.Event.FromString(event.SerializeToString()) for event in events]
    ours = [event for event in spoilt if any(value.tag.startswith("lora_watch/") for value in event.summary.value)]
    for _ in range(data.draw(st.integers(0, 4))):
        spoil(data, data.draw(st.sampled_from(ours)))
    with open(file, "wb") as stream:
        for event in spoilt:
            RecordWriter(stream).write(event.SerializeToString())
    whole = bytearray(file.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=3)):
        whole[place] ^= data.draw(st.integers(1, 255))
    file.write_bytes(whole[: data.draw(st.sampled_from([len(whole), len(whole) - 7, len(whole) // 2]))])
    tab = Tab(file.parent)
    for route, query in ROUTES:
        tab.ask(route, **query)
    for command in ("check", "compare", "show"):
        run(command, file.parents[2])


BROKEN = (b"", b"[", b"\xff")


def spoil(data: st.DataObject, event: Any) -> None:
    value = data.draw(st.sampled_from([v for v in event.summary.value if v.tag.startswith("lora_watch/")]))
    tensor = value.tensor
    match data.draw(st.sampled_from(["shape", "dtype", "bytes", "text", "step", "time", "tag"])):
        case "shape":
            sizes = data.draw(st.lists(st.sampled_from([-1, 0, 1, 3]), max_size=3))
            del tensor.tensor_shape.dim[:]
            for size in sizes:
                tensor.tensor_shape.dim.add(size=size)
        case "dtype":
            tensor.dtype = data.draw(st.sampled_from([0, 1, 2, 3, 7, 8, 9, 14, 19, 20, 22]))
        case "bytes":
            tensor.tensor_content = data.draw(st.binary(max_size=60))
        case "text" if tensor.string_val:
            broken = tensor.string_val[0] in BROKEN  # a second time
            content = {} if broken else json.loads(tensor.string_val[0])
            tensor.string_val[:] = [data.draw(st.sampled_from([data.draw(spoiled(content)), *BROKEN]))]
        case "step":
            event.step = data.draw(st.sampled_from([-1, -(2**63), 2**63 - 1, 0, 2**53, 7]))
        case "time":
            event.wall_time = data.draw(st.sampled_from([float("nan"), float("inf"), -1.0, 1e300]))
        case "tag":
            value.tag = data.draw(st.sampled_from([*TAGS, "lora_watch/m/", "lora_watch/m/" + "x" * 500]))
