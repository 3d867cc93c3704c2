"""LLaMA-Factory's own ``run_exp``, where it is installed: it pins older libraries than those of this suite."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from lora_watch import LoraWatchCallback, LoraWatchError
from tests.support import report_of, tiny_model, tiny_tokenizer


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("DISABLE_VERSION_CHECK", "1")
    pytest.importorskip("llamafactory")
    tiny_model().save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    rows = [
        {"instruction": f"Count to {n}.", "input": "", "output": " ".join(map(str, range(n)))} for n in range(2, 34)
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    (tmp_path / "dataset_info.json").write_text(json.dumps({"rows": {"file_name": "rows.json"}}))
    return {
        "stage": "sft", "do_train": True, "model_name_or_path": str(tmp_path / "model"), "finetuning_type": "lora",
        "lora_target": "all", "lora_rank": 8, "dataset": "rows", "dataset_dir": str(tmp_path), "template": "default",
        "cutoff_len": 64, "output_dir": str(tmp_path / "out"), "per_device_train_batch_size": 4, "max_steps": 6,
        "learning_rate": 2e-3, "logging_steps": 1, "report_to": "none", "use_cpu": True,
    }  # fmt: skip


def run(settings: dict[str, Any], callback: LoraWatchCallback) -> Any:
    importlib.import_module("llamafactory.train.tuner").run_exp(settings, callbacks=[callback])


def test_a_run_is_monitored(settings: dict[str, Any]) -> None:
    callback = LoraWatchCallback(console=False)
    run(settings, callback)
    report = report_of(Path(settings["output_dir"]))
    assert (report["verdict"], report["step"], len(report["adapters"])) == ("ok", 6, 28)
    assert callback.monitor.last.loss is not None
    assert callback.monitor.last.metrics["output_ratio"].known.all()


def test_what_explodes_is_stopped(settings: dict[str, Any]) -> None:
    with pytest.raises(LoraWatchError, match="LW102"):
        run(settings | {"learning_rate": 0.1, "lora_alpha": 128, "max_steps": 40}, LoraWatchCallback(fail_on="error"))
