"""The fast reader says what TensorBoard's own reader says, and survives damage."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util import tensor_util

from lora_watch import Monitor
from lora_watch.base.alerts import Severity
from lora_watch.format import tags
from lora_watch.runs.data import RunData
from lora_watch.runs.events import FILES, EventLog
from lora_watch.runs.run import latest_run
from lora_watch.sinks.tensorboard import TensorBoardSink
from tests.runs.written import STEPS, write_run
from tests.sinks.made_up import alert_of, metric_at, record_of, run_of
from tests.support import lora, tiny_model


def log_of(folder: Path) -> EventLog:
    return EventLog(sorted(folder.rglob(FILES)))


def data_of(folder: Path) -> RunData:
    return RunData(log_of(folder))


def test_it_reads_what_tensorboards_reader_reads(healthy: Path) -> None:
    (file,) = healthy.rglob(FILES)
    theirs = EventAccumulator(str(file.parent), size_guidance={"tensors": 0})
    theirs.Reload()
    log = log_of(healthy)
    ours = RunData(log)
    assert ours.steps == list(range(STEPS + 1))
    for metric in ("delta_norm", "output_ratio", "b_grad_norm"):
        events = theirs.Tensors(tags.METRIC_PREFIX + metric)
        read = metric_at(ours, metric)
        assert list(read) == [event.step for event in events]
        for event in events:
            values = tensor_util.make_ndarray(event.tensor_proto)
            np.testing.assert_array_equal([read[event.step][name] for name in ours.names], values)
    losses = {e.step: tensor_util.make_ndarray(e.tensor_proto)[0] for e in theirs.Tensors(tags.SERIES_PREFIX + "loss")}
    assert ours.series_at("loss") == losses
    assert log.damage == []


def test_a_session_that_resumed_replaces_what_came_after(tmp_path: Path) -> None:
    write_run(tmp_path, steps=20, alerts=[alert_of(3), alert_of(15)])
    write_run(tmp_path, steps=15, first_step=10, loss=7.0)
    log = log_of(tmp_path)
    assert log.steps == list(range(16))
    assert [alert.step for alert in RunData(log).episodes[0]] == [3], "step 15 was trained again, without that alert"
    losses = RunData(log).series_at("loss", [9, 10, 15])
    assert list(losses.values()) == pytest.approx([1 / 9, 7.0, 7.0])


def test_a_session_that_ended_before_its_first_step_replaces_them_too(tmp_path: Path) -> None:
    for step, session, said in ((0, "a", [alert_of(0)]), (10, "b", []), (0, "c", [])):
        run = replace(run_of(), run_id=session)
        write_run(tmp_path, steps=0 if step else 20, first_step=step, run=run, alerts=said)
        log = log_of(tmp_path)
        assert (log.steps[-1], bool(RunData(log).episodes[0])) == (step or 20, session != "c")


@pytest.mark.parametrize("first_step", [0, 10])
def test_what_is_logged_before_a_sessions_first_step_belongs_to_the_step_it_starts_from(
    tmp_path: Path, first_step: int
) -> None:
    """``probe=`` with ``eval_on_start``: the event stands right behind the schema, and the step is there already."""
    if first_step:
        write_run(tmp_path, steps=20, run=replace(run_of(), run_id="a"))
    sink, run = TensorBoardSink(tmp_path / "b"), replace(run_of(), run_id="b")
    sink.start(run, first_step)
    sink.logged(first_step, {"probe_loss": 3.0})
    for step in range(first_step + 1, first_step + 3):
        sink.write(record_of(run, step), [])
        sink.logged(step, {"probe_loss": 2.0})
    sink.finish("ok", None)
    data = data_of(tmp_path)
    assert data.steps == list(range(first_step + 3))
    assert data.series_at("probe_loss") == {first_step: 3.0, first_step + 1: 2.0, first_step + 2: 2.0}
    assert set(data.series_at("loss")) == (set(range(13)) if first_step else {1, 2}), "the step's own numbers stay"


def test_a_step_that_is_written_again_keeps_what_was_logged_after_it(tmp_path: Path) -> None:
    """An alert of the end writes the last step a second time."""
    sink, run = TensorBoardSink(tmp_path), run_of()
    sink.start(run, 0)
    sink.write(record_of(run, 1), [])
    sink.logged(1, {"probe_loss": 3.0})
    sink.write(record_of(run, 1), [])
    sink.finish("ok", None)
    data = data_of(tmp_path)
    assert (data.series_at("probe_loss"), set(data.series_at("loss"))) == ({1: 3.0}, {1})


def test_files_go_by_their_times_and_not_by_their_names(tmp_path: Path) -> None:
    """A session with other adapters, whose file comes first in the order of names."""
    for folder, step, adapters in (("b", 1, 2), ("a", 2, 3)):
        run, sink = run_of(adapters), TensorBoardSink(tmp_path / folder)
        sink.start(run, step)
        sink.write(record_of(run, step), [])
        sink.finish("ok", None)
    log = log_of(tmp_path)
    assert {step: len(values) for step, values in metric_at(RunData(log), "delta_norm").items()} == {1: 2, 2: 3}
    assert log.damage == []


def test_alerts_are_read_in_their_latest_state(tmp_path: Path) -> None:
    alert = alert_of(3)
    sink = TensorBoardSink(tmp_path)
    sink.start(run_of(), 0)
    for step in range(1, 7):
        alert.last_step = min(max(step, 3), 5)
        alert.closed_step = 6 if step == 6 else None
        sink.write(record_of(run_of(), step), [alert] if step >= 3 else [])
    sink.finish("failed", None)
    (latest,) = data_of(tmp_path).episodes[0]
    assert (latest.rule, latest.step, latest.last_step, latest.closed_step) == ("LW102", 3, 5, 6)


@pytest.mark.parametrize(("rule", "closed"), [("LW104", None), ("LW104", 5), ("LW203", None), ("LW910", 5)])
def test_a_run_that_is_too_weak_says_that_it_passes(tmp_path: Path, rule: str, closed: int | None) -> None:
    write_run(tmp_path, alerts=[alert_of(4, rule, Severity.WARNING, closed_step=closed)])
    said = data_of(tmp_path).verdict()["besides"]
    assert (said is not None) is (rule != "LW910"), "open or ended, as the gate counts"


def test_alerts_are_read_the_one_to_show_first_first(tmp_path: Path) -> None:
    write_run(tmp_path, alerts=[alert_of(at, rule, Severity.WARNING) for at, rule in enumerate(("LW401", "LW102"))])
    assert [alert["rule"] for alert in data_of(tmp_path).alerts()["alerts"]] == ["LW102", "LW401"]


def test_the_end_of_a_run_that_went_on_does_not_count(tmp_path: Path) -> None:
    write_run(tmp_path, steps=10)
    write_run(tmp_path, steps=15, first_step=10, verdict=None)
    assert data_of(tmp_path).verdict()["verdict"] == "running"


def test_a_record_that_was_cut_off_at_any_byte_costs_that_record_alone(tmp_path: Path) -> None:
    (file,) = write_run(tmp_path, steps=6, verdict=None, report=False).rglob(FILES)
    whole = file.read_bytes()
    last = end = 0
    while end < len(whole):
        last, end = end, end + 16 + int.from_bytes(whole[end : end + 8], "little")
    for cut in range(last + 1, len(whole), 97):
        file.write_bytes(whole[:cut])
        log = EventLog([file])
        assert log.steps == list(range(6)), cut
        (damage,) = log.damage
        assert re.search(rf"last record .*{file.name} .*incomplete", damage)
        assert set(metric_at(RunData(log), "delta_norm")) == {0, 1, 2, 3, 4}, "as often as norms are measured"


def test_a_negative_step_is_damage(tmp_path: Path, healthy: Path) -> None:
    (file,) = healthy.rglob(FILES)
    content = Path(file).read_bytes()
    event = Event(step=-3, wall_time=2e9, summary=Summary(value=[Summary.Value(tag=tags.SERIES_PREFIX + "loss")]))
    (tmp_path / file.name).write_bytes(content)
    with open(tmp_path / file.name, "ab") as stream:
        RecordWriter(stream).write(event.SerializeToString())
    log = log_of(tmp_path)
    assert log.steps == list(range(STEPS + 1))
    assert log.damage == [f"{file.name} is damaged from byte {len(content):,} on"]


def test_an_evaluation_that_a_loop_has_as_a_tensor_is_in_the_curves(tmp_path: Path) -> None:
    model = lora(tiny_model())
    with Monitor(model, console=False, output_dir=tmp_path) as monitor:
        loss = model(**dict.fromkeys(("input_ids", "labels"), torch.arange(8)[None])).loss
        loss.backward()
        monitor.step(loss)
        monitor.evaluated({"eval_loss": loss})
    run = latest_run(tmp_path)
    assert run.data.series_at("eval_loss") == {1: pytest.approx(float(loss))}
    assert "LW901" not in [alert.rule for alert in run.alerts]
