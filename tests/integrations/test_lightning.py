"""Lightning's own Trainer: the same numbers, stopped before a bad update, resumed, and its loggers."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from lora_watch import LoraWatchError
from lora_watch.gate import judge
from tests.processes import Python
from tests.stored.saving import lose_a_layer, rewrite
from tests.support import lora, report_of, stdlib_blocks, tiny_model

L: Any = pytest.importorskip("lightning.pytorch")
from lora_watch.lightning import LoraWatch  # noqa: E402  (needs Lightning)


class Module(L.LightningModule):
    def __init__(self, lr: float = 2e-3, spoil_at: int | None = None) -> None:
        super().__init__()
        self.model, self.lr, self.spoil_at = lora(tiny_model(), targets=["q_proj", "up_proj"]).train(), lr, spoil_at

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.model(input_ids=batch, labels=batch).loss
        return loss * math.nan if batch_idx == self.spoil_at else loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("eval_loss", self.model(input_ids=batch, labels=batch).loss)

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW([p for p in self.parameters() if p.requires_grad], lr=self.lr)


def fit(folder: Path, module: Any, callback: LoraWatch | None, steps: int = 4, **settings: Any) -> Any:
    torch.manual_seed(0)
    rows = torch.tensor([block["input_ids"] for block in stdlib_blocks(64, 64)])
    data = torch.utils.data.DataLoader(rows, batch_size=4)  # type: ignore[arg-type]
    settings = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "log_every_n_steps": 1} | settings
    trainer = L.Trainer(
        max_steps=steps,
        default_root_dir=str(folder),
        callbacks=[callback] if callback is not None else [],
        enable_progress_bar=False,
        enable_model_summary=False,
        **{name: value for name, value in settings.items() if name != "validate" and name != "resume"},
    )
    validation = torch.utils.data.DataLoader(rows[:4], batch_size=4) if settings.get("validate") else None  # type: ignore[arg-type]
    trainer.fit(module, data, validation, ckpt_path=settings.get("resume"))
    return trainer


@pytest.mark.parametrize("console", [True, False])
def test_the_console_says_everything_once(console: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(tmp_path, Module(), LoraWatch(console=console), steps=2)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("lora_watch")]
    assert len(lines) == len(set(lines))
    assert bool(lines) is console


def test_a_run_is_monitored_step_by_step_and_training_is_the_same(tmp_path: Path) -> None:
    callback = LoraWatch(console=False)
    monitored, plain = Module(), Module()
    plain.model.load_state_dict(monitored.model.state_dict())
    before = plain.model(input_ids=torch.tensor([stdlib_blocks(64, 64)[0]["input_ids"]])).logits
    fit(tmp_path / "a", monitored, callback, validate=True, accumulate_grad_batches=2, val_check_interval=4)
    fit(tmp_path / "b", plain, None, accumulate_grad_batches=2)
    assert before is not None
    assert all(torch.equal(a, b) for a, b in zip(monitored.parameters(), plain.parameters()))
    monitor = callback.monitor
    assert monitor is not None and monitor.last is not None  # noqa: PT018
    assert monitor.last.step == 4
    measured = monitor.last.metrics["product_norm"].values
    truth = [float((m.lora_B["default"].weight @ m.lora_A["default"].weight).norm())
             for m in monitored.modules() if hasattr(m, "lora_A")]  # fmt: skip
    assert measured == pytest.approx(truth, rel=1e-5)
    assert monitor.run.adapters[0].name.startswith("model.layers.0.")
    content = report_of(tmp_path / "a")
    assert (content["verdict"], content["step"], len(content["adapters"])) == ("ok", 4, 8)
    assert "eval_loss" in content["evaluation"]


def test_the_loss_is_the_mean_of_the_micro_batches(tmp_path: Path) -> None:
    callback = LoraWatch(console=False)
    module = Module()
    losses = []
    for block in range(2):
        ids = torch.tensor([b["input_ids"] for b in stdlib_blocks(64, 64)[4 * block : 4 * block + 4]])
        losses.append(float(module.model(input_ids=ids, labels=ids).loss))
    fit(tmp_path, module, callback, steps=1, accumulate_grad_batches=2)
    assert callback.monitor.last.loss == pytest.approx(sum(losses) / 2, rel=1e-5)


def test_a_nan_stops_before_the_update(tmp_path: Path) -> None:
    module = Module(spoil_at=2)
    with pytest.raises(LoraWatchError, match="LW201"):
        fit(tmp_path, module, LoraWatch(console=False, fail_on="error"))
    assert all(torch.isfinite(p).all() for p in module.parameters())
    assert (report_of(tmp_path)["verdict"], report_of(tmp_path)["step"]) == ("failed", 3)


def test_an_exception_of_the_script_is_reported(tmp_path: Path) -> None:
    class Breaks(Module):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if batch_idx == 2:
                raise KeyError("mistake 7")
            return super().training_step(batch, batch_idx)

    with pytest.raises(KeyError):
        fit(tmp_path, Breaks(), LoraWatch(console=False))
    content = report_of(tmp_path)
    assert content["verdict"] == "interrupted"
    assert "mistake 7" in content["message"]


def test_a_resumed_run_goes_on_with_its_rules_and_its_alert(tmp_path: Path) -> None:
    first = LoraWatch(console=False)
    trainer = fit(tmp_path / "a", Module(lr=0.5), first, steps=5)
    trainer.save_checkpoint(tmp_path / "saved.ckpt")
    rules = {alert.rule for alert in first.monitor.alerts}
    assert "LW102" in rules
    second = LoraWatch(console=False)
    fit(tmp_path / "b", Module(lr=0.5), second, steps=6, resume=str(tmp_path / "saved.ckpt"))
    found = [(alert.rule, alert.step) for alert in second.monitor.alerts if alert.rule == "LW102"]
    assert found == [(a.rule, a.step) for a in first.monitor.alerts if a.rule == "LW102"]


@pytest.mark.parametrize("dropped", [False, True])
def test_an_adapter_that_a_resume_drops_is_named_and_a_save_is_read_back(dropped: bool, tmp_path: Path) -> None:
    class Drops(Module):
        strict_loading = not dropped

        def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            kept = checkpoint["state_dict"]
            checkpoint["state_dict"] = {n: t for n, t in kept.items() if not (dropped and "lora_" in n)}

    fit(tmp_path / "a", Module(), LoraWatch(console=False), steps=2).save_checkpoint(tmp_path / "saved.ckpt")
    module, watch = Drops(), LoraWatch(console=False)
    fit(tmp_path / "b", module, watch, steps=4, resume=str(tmp_path / "saved.ckpt"))
    assert [alert.rule for alert in watch.monitor.alerts] == ["LW314"] * dropped
    module.model.save_pretrained(tmp_path / "adapter")
    watch.monitor.saved(tmp_path / "adapter")
    rewrite(tmp_path / "adapter", lose_a_layer)
    watch.monitor.saved(tmp_path / "adapter")
    assert watch.monitor.alerts[-1].rule == "LW313"


def test_its_loggers_get_the_summary(tmp_path: Path) -> None:
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    loggers = [CSVLogger(str(tmp_path), "csv"), TensorBoardLogger(str(tmp_path), "tb")]
    fit(tmp_path, Module(), LoraWatch(console=False), logger=loggers)
    table = (Path(loggers[0].log_dir) / "metrics.csv").read_text()
    assert "lora/output_ratio/max" in table.splitlines()[0]
    events = EventAccumulator(loggers[1].log_dir)
    events.Reload()
    assert [e.step for e in events.Scalars("lora/delta_norm/median")] == [0, 1, 2, 3, 4]
    assert "lora_watch/schema" in events.Tags()["tensors"]


def test_a_run_recovers(tmp_path: Path) -> None:
    module = Module(spoil_at=2)
    callback = LoraWatch(recover=3, console=False)
    fit(tmp_path, module, callback)
    assert [(a.rule, a.step, a.back_to) for a in callback.monitor.alerts] == [("LW201", 3, 3), ("LW910", 3, 3)]
    assert all(torch.isfinite(p).all() for p in module.parameters())
    assert report_of(tmp_path)["verdict"] == "ok"


def test_a_fit_without_a_monitor_is_not_covered_by_the_report_of_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(tmp_path, Module(), LoraWatch(console=False))
    assert judge([tmp_path]).exit_code == 0
    callback = LoraWatch(console=False)
    with monkeypatch.context() as patch:
        patch.setattr(callback, "_build", lambda *_: 1 / 0)
        fit(tmp_path, Module(), callback)
    assert judge([tmp_path]).exit_code == 2
    fit(tmp_path, Module(), callback)
    assert judge([tmp_path]).exit_code == 0


def test_what_one_fit_has_restored_is_not_the_next_ones(tmp_path: Path) -> None:
    callback = LoraWatch(console=False, fail_on="never")
    callback.load_state_dict(spoiled_state(tmp_path / "a"))
    fit(tmp_path / "b", Module(), callback, steps=2)
    assert [alert.rule for alert in callback.monitor.alerts] == ["LW201"]  # type: ignore[union-attr]
    fit(tmp_path / "c", Module(), callback, steps=2)
    assert callback.monitor.alerts == []


def spoiled_state(folder: Path) -> dict[str, Any]:
    """Of a run with a NaN."""
    callback = LoraWatch(console=False)
    fit(folder, Module(spoil_at=0), callback, steps=1)
    return callback.state_dict()


TWO_RANKS = """
import json, os, sys
from pathlib import Path
from lora_watch import LoraWatchError
from lora_watch.gate import judge
from lora_watch.lightning import LoraWatch
from tests.integrations.test_lightning import Module, fit

out, rank, seen = Path(sys.argv[1]), int(os.environ["RANK"]), {}
for name, spoil_at in (("sound", None), ("nan", 2 if rank == 1 else None)):
    module, callback, ended = Module(spoil_at=spoil_at), LoraWatch(console=False, fail_on="error"), "ok"
    try:
        fit(out / name, module, callback, devices=2, strategy="ddp")
    except LoraWatchError as error:
        ended = error.alerts[0].rule
    last = callback.monitor.last
    seen[name] = [ended, callback.monitor.steps, last.loss, float(last.metrics["delta_norm"].values.sum())]
(out / f"rank{rank}.json").write_text(json.dumps(seen))
"""


def test_two_ranks_have_the_same_numbers_and_stop_together(python: Python, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TWO_RANKS)
    for done in python.ranks(2, tmp_path / "train.py", tmp_path):
        assert done.returncode == 0, done.stderr[-2000:]
    zero, one = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert zero["sound"] == one["sound"]
    assert zero["sound"][:2] == ["ok", 4]
    assert report_of(tmp_path / "sound")["verdict"] == "ok"
    assert zero["nan"][0] == one["nan"][0] == "LW201"
    assert (report_of(tmp_path / "nan")["verdict"], report_of(tmp_path / "nan")["step"]) == ("failed", 3)
