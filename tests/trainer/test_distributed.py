"""Two real ranks (torchrun, gloo, DDP): one loss, one decision, one set of files."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch.distributed.fsdp

ROOT = Path(__file__).parents[2]

SCRIPT = """
import json, os, sys
from pathlib import Path
import torch
from transformers import Trainer
from lora_watch import LoraWatchCallback, LoraWatchError
from tests.support import build_trainer, lora, stdlib_blocks, tiny_model

out, fault = Path(sys.argv[1]), sys.argv[2]
rank = int(os.environ["RANK"])
losses = []

class Faulty(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        loss = model(**inputs).loss
        if fault == "nan-on-one-rank" and rank == 1 and self.state.global_step == 3:
            loss = loss * float("nan")
        return (loss, None) if return_outputs else loss

blind = fault == "explosion-that-one-rank-sees" and rank == 0
callback = LoraWatchCallback(fail_on="error", console=False, mute=["LW102"] if blind else [])
if fault == "one-rank-cannot-start" and rank == 0:
    from lora_watch.trainer import facts
    facts.config_of = lambda *_: 1 / 0
from transformers import TrainerCallback
class Collect(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        losses.append(callback.monitor and callback.monitor.last.loss)
trainer = build_trainer(lora(tiny_model(), alpha=128 if "explosion" in fault else 16), stdlib_blocks(64, 32), 8,
    callbacks=[callback, Collect()], trainer_class=Faulty, lr=5e-2 if "explosion" in fault else 2e-3,
    output_dir=str(out / "run"), ddp_backend="gloo", logging_steps=1, logging_nan_inf_filter=False)
try:
    trainer.train()
    ended = "ok"
except LoraWatchError as error:
    ended = error.alerts[0].rule if error.alerts else "elsewhere"
logged = [e["loss"] for e in trainer.state.log_history if "loss" in e]
(out / f"rank{rank}.json").write_text(json.dumps(
    {"ended": ended, "step": trainer.state.global_step, "losses": losses, "logged": logged,
     "norm": callback.monitor and float(callback.monitor.last.metrics["delta_norm"].values.sum())}))
sys.exit(0 if ended == "ok" else 1)
"""


SHARDED = """
import contextlib, json, sys
from pathlib import Path
import torch, torch.distributed as dist
from lora_watch import Monitor
from tests.support import lora, stdlib_blocks, tiny_model

dist.init_process_group("gloo")
rank = dist.get_rank()
data = torch.tensor([e["input_ids"] for e in stdlib_blocks(2 * 30, 32)]).split(2)

def train(watched):
    torch.manual_seed(0)
    model = lora(tiny_model(), use_dora=True).train()
    for layer in model.get_base_model().model.layers:
        dist.fsdp.fully_shard(layer)
    dist.fsdp.fully_shard(model)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    losses, metrics = [], []
    # One rank has time to spare, the other has spent too much of it.
    watch = Monitor(model, optimizer, drift=True, max_overhead=1.0 if rank else 1e-9) if watched else None
    with watch or contextlib.nullcontext():
        for ids in data:
            loss = model(input_ids=ids, labels=ids).loss
            loss.backward()
            optimizer.step()
            losses.append(float(loss))
            if watch:
                record = watch.step(loss=losses[-1])
                metrics.append({name: reading.values.tolist() for name, reading in record.metrics.items()})
            optimizer.zero_grad()
    return losses, metrics, [str(alert) for alert in watch.alerts] if watch else []

(plain, _, _), (losses, metrics, alerts) = train(False), train(True)
(Path(sys.argv[1]) / f"rank{rank}.json").write_text(json.dumps(
    {"plain": plain, "losses": losses, "metrics": metrics, "alerts": alerts}))
dist.destroy_process_group()
"""


def two_ranks(tmp_path: Path, fault: str, source: str = SCRIPT) -> tuple[int, list[dict]]:
    script = tmp_path / "train.py"
    script.write_text(textwrap.dedent(source))
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*command, str(script), str(tmp_path), fault], env=env, capture_output=True, text=True, timeout=300
    )
    results = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    assert results, done.stderr[-2000:]
    return done.returncode, results


def test_ranks_agree_on_the_mean_loss_and_one_of_them_writes(tmp_path: Path) -> None:
    code, (zero, one) = two_ranks(tmp_path, "none")
    assert code == 0
    assert zero["ended"] == one["ended"] == "ok"
    assert zero["losses"] == one["losses"]
    assert zero["losses"] == pytest.approx([float(value) for value in zero["logged"]], abs=2e-4)
    assert zero["norm"] == pytest.approx(one["norm"], rel=1e-6)
    report = json.loads((tmp_path / "run" / "lora_watch" / "report.json").read_text())
    assert (report["verdict"], report["session"], report["step"]) == ("ok", 1, 8)


@pytest.mark.parametrize(
    ("fault", "rule"),
    [("nan-on-one-rank", "LW201"), ("explosion-that-one-rank-sees", "LW102")],
)
def test_all_ranks_stop_together(tmp_path: Path, fault: str, rule: str) -> None:
    code, (zero, one) = two_ranks(tmp_path, fault)
    assert code == 1
    assert zero["ended"] == one["ended"] == rule
    assert zero["step"] == one["step"]
    report = json.loads((tmp_path / "run" / "lora_watch" / "report.json").read_text())
    assert report["verdict"] == "failed"
    assert report["message"].startswith(f"ERROR {rule}")  # also where the rank that writes has not seen it itself
    assert rule in {alert["rule"] for alert in report["alerts"]}
    assert json.loads((tmp_path / "run" / "lora_watch" / "incident.json").read_text())["alert"]["rule"] == rule


def test_where_one_rank_cannot_watch_none_waits_for_it(tmp_path: Path) -> None:
    code, (zero, one) = two_ranks(tmp_path, "one-rank-cannot-start")
    assert code == 0
    assert zero["losses"] == one["losses"] == [None] * 8


def test_sharded_adapters_are_read_at_the_same_steps_by_all_ranks(tmp_path: Path) -> None:
    """Each reading of an FSDP2 factor is a collective: one that a rank leaves out ends the training of all."""
    if not hasattr(torch.distributed.fsdp, "fully_shard"):
        pytest.skip("this torch has no fully_shard")
    code, (zero, one) = two_ranks(tmp_path, "none", SHARDED)
    assert code == 0
    assert zero["losses"] == zero["plain"], "watched or not, training is the same"
    assert zero["metrics"] == one["metrics"]
    assert zero["alerts"] == one["alerts"] == []
    full = [step for step, metrics in enumerate(zero["metrics"], start=1) if "drift_norm" in metrics]
    assert full == [*range(1, 11), 16]
    last = zero["metrics"][15]
    assert {"delta_norm", "effective_rank", "magnitude_drift", "drift_norm", "a_grad_norm"} <= last.keys()
    assert [math.isfinite(value) for value in last["drift_norm"]] == [True] * 28
