"""Trackers with the real packages: our summary in their own rows, and alerts as their own."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lora_watch import LoraWatchCallback, Severity
from lora_watch.rules.policy import Policy
from lora_watch.sinks.forwarding import Forwarder
from lora_watch.sinks.report import ReportSink
from tests.support import build_trainer, few, on, stdlib_blocks
from tests.trainer.test_neighbours import Tracker

SUMMARY = ("lora/output_ratio/max", "lora/delta_norm/median", "lora/loss")
EXPLODES = {"steps": 6, "lr": 0.5}


def run(tmp_path: Path, tracker: str, callbacks: Sequence[Any] = (), **settings: Any) -> tuple[Any, LoraWatchCallback]:
    callback = LoraWatchCallback(console=False, fail_on="never")
    settings = {"logging_steps": 1, "output_dir": str(tmp_path / "out"), **EXPLODES, **settings}
    trainer = build_trainer(few(), stdlib_blocks(), callbacks=[*callbacks, callback], report_to=[tracker], **settings)
    trainer.train()
    return trainer, callback


def opened(callback: LoraWatchCallback) -> list[str]:
    alerts = [a for a in callback.monitor.alerts if a.severity >= Severity.WARNING]
    assert alerts
    return [a.title for a in alerts]


def entries(log: bytes) -> Iterator[bytes]:
    """What a file of W&B's holds: LevelDB's log format, in blocks of 32 KiB, after a header of 7 bytes."""
    at, parts = 7, b""
    while at + 7 <= len(log):
        if 32768 - at % 32768 < 7:  # the rest of a block that no header fits into
            at += 32768 - at % 32768
            continue
        size, kind = int.from_bytes(log[at + 4 : at + 6], "little"), log[at + 6]
        parts += log[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last of several
            yield parts
            parts = b""


# -- the packages ------------------------------------------------------------------------------------------------------
def test_wandb_has_the_summary_in_its_rows_and_the_alerts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    _, callback = run(tmp_path, "wandb")
    wandb.finish()  # else it stays the run of this process
    wandb.teardown()  # waits until the file is complete

    rows, alerts = [], []
    for content in entries(next(tmp_path.glob("wandb/offline-run-*/*.wandb")).read_bytes()):
        record = Record.FromString(content)
        if record.HasField("history"):
            items = record.history.item
            rows.append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items})
        if record.HasField("alert"):
            alerts.append(record.alert)
    losses = [row for row in rows if "train/loss" in row]
    assert [row["train/global_step"] for row in losses] == [1, 2, 3, 4, 5, 6]
    for row in losses:
        assert {f"train/{name}" for name in SUMMARY} <= row.keys()
    assert losses[-1]["train/lora/delta_norm/median"] > losses[0]["train/lora/delta_norm/median"] > 0
    assert sum("train/lora/loss" in row for row in rows) == 6  # joined, no rows of our own
    assert [alert.title for alert in alerts] == opened(callback)
    assert str(tmp_path / "out" / "lora_watch" / "report.json") in alerts[0].text


def test_mlflow_has_the_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "tried")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    run(tmp_path, "mlflow")
    mlflow.end_run()
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("tried")
    done = client.search_runs([experiment.experiment_id])[0]
    for name in SUMMARY:
        assert [metric.step for metric in client.get_metric_history(done.info.run_id, name)] == [1, 2, 3, 4, 5, 6]


def test_trackio_has_the_summary_and_the_alerts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trackio")
    from trackio.sqlite_storage import SQLiteStorage

    for name, module in list(sys.modules.items()):
        if name.startswith("trackio") and hasattr(module, "TRACKIO_DIR"):
            monkeypatch.setattr(module, "TRACKIO_DIR", tmp_path / "trackio")
    _, callback = run(tmp_path, "trackio", project="tried")
    name = SQLiteStorage.get_runs("tried")[0]
    rows = [row for row in SQLiteStorage.get_logs("tried", name) if "train/loss" in row]
    assert len(rows) == 6
    assert all(f"train/{name}" in row for row in rows for name in SUMMARY)
    titles = [alert["title"] for alert in SQLiteStorage.get_alerts("tried")]
    assert sorted(titles) == sorted(opened(callback))


def test_an_alert_that_is_recovered_from_is_sent_without_its_advice_as_the_console_prints_it(tmp_path: Path) -> None:
    for recover in (0, 3):
        sent: list[str] = []
        tracker = (
            SimpleNamespace(AlertLevel=SimpleNamespace(ERROR=2, WARN=1)),
            lambda text, sent=sent, **_: sent.append(text),
        )
        sink = Forwarder(ReportSink(tmp_path), Policy(recover=recover), lambda tracker=tracker: tracker)
        callback = LoraWatchCallback(console=False, fail_on="never", recover=recover, sinks=[sink])
        build_trainer(few(), stdlib_blocks(), callbacks=[callback], output_dir=str(tmp_path), **EXPLODES).train()
        (harm,) = (text for text in sent if "LW102" in text)
        assert ("Next run" in harm, any("LW910" in text for text in sent)) == (not recover, bool(recover))


# -- the Trainer's rows ------------------------------------------------------------------------------------------------
def test_what_the_trainer_keeps_and_prints_is_the_row_without_ours(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    printer, tracker = on("log", lambda logs, **_: seen.append(dict(logs))), Tracker()
    trainer, _ = run(tmp_path, "none", [tracker, printer], logging_steps=2, lr=1e-3)
    losses = [row for row in tracker.rows if "loss" in row]
    assert len(losses) == 3
    assert set(SUMMARY) <= losses[-1].keys()
    assert all(any(name.startswith("lora/") for name in row) for row in losses)
    assert not any(name.startswith("lora/") for row in [*seen, *trainer.state.log_history] for name in row)
    assert [row["loss"] for row in losses] == [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert "on_log" not in vars(tracker)  # nothing of ours is left in it
