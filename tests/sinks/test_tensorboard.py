"""What the sink writes, read back through TensorBoard itself."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

from lora_watch.base.alerts import Severity
from lora_watch.base.records import StepRecord
from lora_watch.format import tags
from lora_watch.runs.data import RunData
from lora_watch.runs.events import EventLog
from lora_watch.sinks.tensorboard import ALL_OF, TensorBoardSink, stride
from tests.sinks.backend import BY_EITHER_LOADER, tensorboard
from tests.sinks.made_up import alert_of, metric_at, record_of, run_of

NAN, INF = math.nan, math.inf


def write_run(directory: Path, records: list[StepRecord], alerts: dict[int, list[Any]] | None = None) -> None:
    sink = TensorBoardSink(directory)
    sink.start(records[0].run, 0)
    for record in records:
        sink.write(record, (alerts or {}).get(record.step, []))
    sink.finish("ok", None)


@BY_EITHER_LOADER
def test_a_run_reads_back_whole(tmp_path: Path, loader: str) -> None:
    run = run_of(rules=({"id": "LW102", "threshold": INF},), notes=("‖W₀‖ is unknown",))
    failing = {
        "delta_norm": np.array([1.0, NAN, 1e300]),
        "output_ratio": np.array([0.5, NAN, NAN]),
        "scale": np.array([2.0, 2.0, 4.0]),
        "effective_lr": np.array([0.002, 0.002, 0.004]),
    }
    records = [record_of(run, 0, loss=None), record_of(run, 1)]
    records += [record_of(run, 2, metrics=failing, known={"output_ratio": np.array([True, False, False])}, loss=NAN)]
    records += [record_of(run, 3, metrics={}, lr=(), scalars={}, overhead=None, loss=0.25)]
    write_run(tmp_path, records, {2: [alert_of(2, threshold=INF)], 3: [alert_of(3, "LW203", Severity.WARNING)]})

    with tensorboard(tmp_path, loader) as board:
        ((step, schema),) = board.json(tags.SCHEMA)
        assert step == 0
        assert schema["version"] == tags.FORMAT_VERSION
        assert [adapter["name"] for adapter in schema["adapters"]] == list(run.names)
        assert schema["adapters"][0]["base_norm"] is None
        assert schema["rules"] == [{"id": "LW102", "threshold": "Infinity"}]
        assert schema["notes"] == ["‖W₀‖ is unknown"]

        delta = board.tensors(tags.METRIC_PREFIX + "delta_norm")
        assert [step for step, _ in delta] == [0, 1, 2]
        assert all(array.dtype == np.float32 for _, array in delta)
        np.testing.assert_array_equal(delta[1][1], [1, 2, 3])
        np.testing.assert_array_equal(delta[2][1], [1, NAN, INF])  # 1e300 is beyond float32

        losses = board.tensors(tags.SERIES_PREFIX + "loss")
        assert [step for step, _ in losses] == [1, 2, 3]
        np.testing.assert_array_equal([array for _, array in losses], [[1], [NAN], [0.25]])
        np.testing.assert_allclose(board.tensors(tags.SERIES_PREFIX + "effective_lr")[2][1], [4e-3])
        np.testing.assert_array_equal([value for _, value in board.scalars("lora/loss")], [1, NAN, 0.25])

        assert dict(board.scalars("lora/delta_norm/max")) == {0: 2, 1: 3, 2: INF}
        assert dict(board.scalars("lora/nonfinite_adapters")) == {0: 0, 1: 0, 2: 1}  # unknown is not non-finite
        assert dict(board.scalars("lora/output_ratio/median")) == {2: 0.5}
        assert dict(board.scalars("lora/scale")) == {0: 2, 1: 2, 2: 4}

        verdicts = board.json(tags.VERDICT)
        assert [(step, reported["verdict"]) for step, reported in verdicts] == [(0, "running"), (3, "ok")]

        alerts = board.json(tags.ALERTS)
        assert [(step, [alert["rule"] for alert in some]) for step, some in alerts] == [(2, ["LW102"]), (3, ["LW203"])]
        (_, (alert,)), _ = alerts
        assert alert["adapters"][0]["name"] == "layers.1.q_proj"


@BY_EITHER_LOADER
def test_viewers_without_the_plugin_get_charts_hyperparameters_and_texts(tmp_path: Path, loader: str) -> None:
    run = run_of()
    records = [record_of(run, step) for step in range(4)]
    late = {"output_ratio": np.ones(3)}  # first measured at step 3: the layout must grow
    write_run(
        tmp_path, [*records[:3], record_of(run, 3, metrics=late)], {2: [alert_of(2, settings={"lora_alpha": 16})]}
    )

    with tensorboard(tmp_path, loader) as board:
        listing = board.get("plugins_listing")
        assert all(listing[plugin]["enabled"] for plugin in ("custom_scalars", "hparams", "scalars"))

        layout = board.get("plugin/custom_scalars/layout")
        charts = {
            chart["title"].partition(",")[0]: chart for category in layout["category"] for chart in category["chart"]
        }
        assert "output_ratio" in charts
        (lines,) = charts["delta_norm"]["multiline"]["tag"]
        drawn = board.get("plugin/custom_scalars/scalars", run=".", tag=lines)
        assert set(drawn["tag_to_events"]) == {"lora/delta_norm/max", "lora/delta_norm/median"}

        (group,) = board.session_groups()
        assert group["hparams"] == {"r": 8, "alpha": 16, "scale": 2, "rslora": "false", "lr": 1e-3}
        values = {metric["name"]["tag"]: metric["value"] for metric in group["metricValues"]}
        assert values["lora/loss"] == pytest.approx(1 / 3)
        assert [session["status"] for session in group["sessions"]] == ["STATUS_SUCCESS"]


def test_a_dozen_plain_scalars_and_no_count_that_could_be_smoothed(tmp_path: Path) -> None:
    run = run_of()
    ones = dict.fromkeys(["delta_norm", "output_ratio", "relative_norm", "scale", "effective_lr"], np.ones(3))
    write_run(tmp_path, [record_of(run, step, metrics=ones) for step in (1, 2)], {2: [alert_of(2)]})
    with tensorboard(tmp_path, "python") as board:
        known = {tag for tag in board.scalar_tags()["."] if tag.startswith("lora/")}
    wanted = {f"lora/{name}/{q}" for name in ("output_ratio", "delta_norm") for q in ("max", "median")}
    assert known == wanted | {f"lora/{name}" for name in ("loss", "scale", "effective_lr", "nonfinite_adapters")}


def test_a_shared_writer_may_come_late_and_go_early(tmp_path: Path) -> None:
    """Nothing fails, nothing is written to a closed writer, and a late one is told of the alerts before it."""
    writers: list[SummaryWriter | None] = [None]
    run = run_of()
    sink = TensorBoardSink(lambda: writers[0])
    sink.start(run, 0)
    sink.write(record_of(run, 0), [alert_of(0, "LW401", Severity.WARNING)])
    writers[0] = SummaryWriter(str(tmp_path))
    sink.write(record_of(run, 1), [])
    sink.write(record_of(run, 2), [])
    writers[0].close()
    sink.write(record_of(run, 3), [alert_of(3)])
    writers[0] = None
    sink.finish("ok", None)

    assert len(list(tmp_path.glob("events.*"))) == 1
    with tensorboard(tmp_path, "python") as board:
        assert [step for step, _ in board.json(tags.SCHEMA)] == [0]
        assert [step for step, _ in board.tensors(tags.METRIC_PREFIX + "delta_norm")] == [1, 2]
        assert [(step, alerts[0]["rule"]) for step, alerts in board.json(tags.ALERTS)] == [(1, "LW401")]


@BY_EITHER_LOADER
def test_the_schema_is_written_again_when_the_adapters_change(tmp_path: Path, loader: str) -> None:
    sink = TensorBoardSink(tmp_path)
    sink.start(run_of(3), 0)
    sink.write(record_of(run_of(3), 1), [])
    sink.start(run_of(2), 1)
    sink.write(record_of(run_of(2), 2), [])
    sink.finish("ok", None)
    assert len(list(tmp_path.glob("events.*"))) == 1
    with tensorboard(tmp_path, loader) as board:
        schemas = board.json(tags.SCHEMA)
        assert [(step, len(schema["adapters"])) for step, schema in schemas] == [(0, 3), (1, 2)]
        assert [array.size for _, array in board.tensors(tags.METRIC_PREFIX + "delta_norm")] == [3, 2]


@BY_EITHER_LOADER
def test_resuming_at_an_earlier_step_hides_the_steps_after_it(tmp_path: Path, loader: str) -> None:
    run = run_of()
    write_run(tmp_path, [record_of(run, step) for step in range(7)])
    for path in tmp_path.glob("events.*"):  # file names sort by whole seconds: pretend the first session is older
        path.rename(path.with_name(path.name.replace("tfevents.1", "tfevents.0", 1)))
    sink = TensorBoardSink(tmp_path)
    sink.start(run, 4)
    for step in (5, 6):
        sink.write(record_of(run, step, metrics={"delta_norm": np.full(3, 100.0)}), [])
    sink.finish("ok", None)
    with tensorboard(tmp_path, loader) as board:
        points = board.tensors(tags.METRIC_PREFIX + "delta_norm")
        assert [(step, array[0]) for step, array in points] == [*zip(range(5), range(5)), (5, 100), (6, 100)]
        assert [step for step, _ in board.scalars("lora/delta_norm/max")] == list(range(7))


def test_alerts_that_a_resumed_run_brings_along_do_not_replace_the_step_it_resumed_at(tmp_path: Path) -> None:
    run, alert = run_of(), alert_of(2)
    for first, steps in ((0, (1, 2, 3)), (3, (4, 5))):
        sink = TensorBoardSink(tmp_path)
        sink.start(run, first)
        if first:
            sink.write(StepRecord(run, first, {}), [alert])
        for step in steps:
            sink.write(record_of(run, step), [alert] if step == 2 else [])
        sink.finish("ok", None)
    data = RunData(EventLog(tmp_path.glob("events*")))
    assert list(metric_at(data, "delta_norm")) == data.steps == [1, 2, 3, 4, 5]
    assert [found.step for found in data.episodes[0]] == [2]


def test_every_step_is_written_at_first_and_then_one_of_ever_more() -> None:
    out = [step for step in range(1, 4 * ALL_OF + 1) if step % stride(step) == 0]
    assert out[:ALL_OF] == list(range(1, ALL_OF + 1))
    assert [sum(low < step <= 2 * low for step in out) for low in (ALL_OF, 2 * ALL_OF)] == [ALL_OF / 2, ALL_OF / 2]
    full = range(100_000, 160_000, 16)  # what is measured seldom is what is written
    assert stride(100_001) == 16
    assert all(step % stride(step) == 0 for step in full)
