"""Two real ranks (gloo, DDP): one loss, one decision, one set of files."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import transformers
from packaging.version import Version

from lora_watch.gate import judge
from tests.processes import Python
from tests.support import report_of

ROOT = Path(__file__).parents[2]

TRAINER = """
import json, os, sys
from pathlib import Path
import torch
from transformers import Trainer, TrainerCallback
from lora_watch import Finding, LoraWatchCallback, LoraWatchError, Rule, Severity, find_learning_rate
from lora_watch.drivers import trainer_info
from tests.support import build_trainer, lora, stdlib_blocks, tiny_model

class Late(Rule):  # opens at step 2 on rank 1, and at step 5 on rank 0
    id, name, severity = "X1", "late", Severity.ERROR
    def check(self, record):
        return Finding(f"on rank {rank}") if record.step >= (2 if rank else 5) else None

class LastWord(Rule):  # open as a warning on rank 0, and an error by the last word of rank 1
    id, name, severity = "X2", "last-word", Severity.WARNING
    def check(self, record):
        return Finding("on rank 0") if rank == 0 and record.step else None
    def conclude(self, record):
        return Finding("of rank 1", severity=Severity.ERROR) if rank else None

out, rank = Path(sys.argv[1]), int(os.environ["RANK"])

def train(name):
    (fault, *more), losses = name.split("+"), []

    class Faulty(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
            loss = model(**inputs).loss
            if fault == "nan-on-one-rank" and rank == 1 and self.state.global_step == 3:
                loss = loss * float("nan")
            return (loss, None) if return_outputs else loss

    class Collect(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            losses.append(callback.monitor and callback.monitor.last.loss)

    blind = fault == "explosion-that-one-rank-sees" and rank == 0
    own = {"opens-later-on-one-rank": [Late()], "last-word-of-one-rank": [LastWord()]}.get(fault)
    callback = LoraWatchCallback(fail_on="error", console=False, mute=["LW102"] if blind else [],
        recover=3 if more else None, rules=own, patience=3 if fault == "opens-later-on-one-rank" else None)
    if fault == "loss-that-one-rank-cannot-read" and rank == 1:
        callback._tap._see_loss = lambda loss: None
    config_of = trainer_info.config_of
    if fault == "one-rank-cannot-start" and rank == 0:
        trainer_info.config_of = lambda *_: 1 / 0
    hot = "explosion" in fault
    if fault in ("none", "after-a-sweep"):
        torch.manual_seed(0)
    model = lora(tiny_model(), alpha=128 if hot else 16, targets=["q_proj", "v_proj", "down_proj"])
    trainer = build_trainer(model, stdlib_blocks(64, 32), 8,
        callbacks=[callback, Collect()], trainer_class=Faulty, lr=5e-2 if hot else 2e-3,
        output_dir=str(out / name), ddp_backend="gloo", logging_steps=1, logging_nan_inf_filter=False,
        save_strategy="steps" if hot and more else "no", save_steps=6)
    start = str(out / f"{fault}+recover" / "checkpoint-6") if "resumed" in more else None
    try:
        found = find_learning_rate(trainer, steps=12) if fault == "after-a-sweep" else None
        trainer.train(resume_from_checkpoint=start)
        ended = "ok"
    except LoraWatchError as error:
        ended = error.alerts[0].rule if error.alerts else "elsewhere"
        assert ended in str(error)
    trainer_info.config_of = config_of
    logged = [e["loss"] for e in trainer.state.log_history if "loss" in e]
    return {"ended": ended, "step": trainer.state.global_step, "losses": losses, "logged": logged,
            "swept": found and [found.rate, found.low, *found.curve.losses],
            "norm": callback.monitor and float(callback.monitor.last.metrics["delta_norm"].values.sum())}

(out / f"rank{rank}.json").write_text(json.dumps({fault: train(fault) for fault in sys.argv[2:]}))
"""

PLAIN = """
import contextlib, sys, time
from pathlib import Path
import torch, torch.distributed as dist
from lora_watch import Monitor, Sink
from lora_watch.run import ranks
from tests.support import lora, stdlib_blocks, tiny_model

dist.init_process_group("gloo")
rank = dist.get_rank()
data = torch.tensor([e["input_ids"] for e in stdlib_blocks(2 * 6, 32)]).split(2)

class SlowDisk(Sink):
    def finish(self, verdict, message): time.sleep(3 * (rank == 0))

def train(everywhere, nan_at):
    torch.manual_seed(0)
    model = torch.nn.parallel.DistributedDataParallel(lora(tiny_model()).train())
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    monitor = None
    if everywhere or rank == 0:
        sinks = [SlowDisk()] if everywhere else []
        folder = sys.argv[1] + ("/all" if everywhere else "/first")
        monitor = Monitor(model, optimizer, fail_on="error", output_dir=folder, console=False, sinks=sinks)
    with monitor or contextlib.nullcontext():
        for step, ids in enumerate(data, start=1):
            loss = model(input_ids=ids, labels=ids).loss
            loss.backward()
            optimizer.step()
            if monitor:
                monitor.step(loss=float("nan") if rank == 1 and step >= nan_at else float(loss))
            optimizer.zero_grad()

ranks.SECONDS_TO_MEET = 0.5
train(everywhere=False, nan_at=99)
ranks.SECONDS_TO_MEET = 30.0
try:
    train(everywhere=True, nan_at=3)
finally:
    time.sleep(3 * (rank == 0))  # both raise at once, and rank 1 is to end first
"""


def script(folder: Path, source: str) -> Path:
    path = folder / "train.py"
    path.write_text(source)
    return path


RESUMES = Version(transformers.__version__) >= Version("5")
"""4.46 cannot load an optimizer's state on one of several ranks on a CPU ("tagged with cpu:0")."""
FAULTS = (
    *("none", "after-a-sweep", "nan-on-one-rank", "explosion-that-one-rank-sees", "one-rank-cannot-start"),
    *("opens-later-on-one-rank", "last-word-of-one-rank", "loss-that-one-rank-cannot-read"),
    *("nan-on-one-rank+recover", "explosion-that-one-rank-sees+recover"),
    *(("explosion-that-one-rank-sees+recover+resumed",) if RESUMES else ()),
)


@pytest.fixture(scope="module")
def runs(python: Python, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """The folder of all runs, and what each rank says of each."""
    folder = tmp_path_factory.mktemp("ranks")
    for done in python.ranks(2, script(folder, TRAINER), folder, *FAULTS):
        assert done.returncode == 0, done.stderr[-2000:]
    zero, one = (json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1))
    return folder, zero, one


def test_ranks_agree_on_the_mean_loss_and_one_of_them_writes(runs: Any) -> None:
    folder, zero, one = runs[0], runs[1]["none"], runs[2]["none"]
    assert zero["ended"] == one["ended"] == "ok"
    assert zero["losses"] == one["losses"]
    assert zero["losses"] == pytest.approx([float(value) for value in zero["logged"]], abs=2e-4)
    assert zero["norm"] == pytest.approx(one["norm"], rel=1e-6)
    report = report_of(folder / "none")
    assert (report["verdict"], report["session"], report["step"]) == ("ok", 1, 8)


def test_ranks_conclude_alike_from_a_sweep_which_leaves_no_trace(runs: Any) -> None:
    zero, one = (ran["after-a-sweep"] for ran in runs[1:])
    assert len(zero["swept"]) > 4
    assert zero["swept"] == one["swept"]
    assert {**zero, "swept": None} == runs[1]["none"]
    assert {**one, "swept": None} == runs[2]["none"]


@pytest.mark.parametrize(
    ("fault", "rule"),
    [("nan-on-one-rank", "LW201"), ("explosion-that-one-rank-sees", "LW102")],
)
def test_all_ranks_stop_together(runs: Any, fault: str, rule: str) -> None:
    folder, zero, one = runs[0], runs[1][fault], runs[2][fault]
    assert zero["ended"] == one["ended"] == rule
    assert zero["step"] == one["step"]
    report = report_of(folder / fault)
    assert report["verdict"] == "failed"
    assert f"({rule})" in report["message"].partition("\n")[0]  # also where the rank that writes has not seen it itself
    assert rule in {alert["rule"] for alert in report["alerts"]}


def test_what_ranks_have_agreed_on_ends_all_of_them_whatever_each_has_seen_itself(runs: Any) -> None:
    """Also with patience, where an alert has lasted on one rank and not on the other."""
    for fault, rule, step, said in (
        ("opens-later-on-one-rank", "X1", 5, "ERROR at step 2: on rank 1"),
        ("last-word-of-one-rank", "X2", 8, "ERROR at step 8: of rank 1"),
    ):
        folder, zero, one = runs[0], runs[1][fault], runs[2][fault]
        assert (zero["ended"], zero["step"]) == (one["ended"], one["step"]) == (rule, step)
        report = report_of(folder / fault)
        assert report["verdict"] == "failed"
        assert report["message"].startswith(said)
        (alert,) = (alert for alert in report["alerts"] if alert["rule"] == rule)
        assert alert["severity"] == "ERROR"


def test_no_rank_waits_for_a_loss_that_another_cannot_read(runs: Any) -> None:
    zero, one = runs[1]["loss-that-one-rank-cannot-read"], runs[2]["loss-that-one-rank-cannot-read"]
    assert (zero["ended"], zero["step"], one["ended"], one["step"]) == ("ok", 8, "ok", 8)
    assert None not in zero["losses"]
    assert one["losses"] == [None] * 8


@pytest.mark.parametrize(
    ("fault", "rule", "changed"),
    [("nan-on-one-rank", "LW201", set()), ("explosion-that-one-rank-sees", "LW102", {"learning_rate"})],
)
def test_all_ranks_recover_together(runs: Any, fault: str, rule: str, changed: set[str]) -> None:
    folder, zero, one = runs[0], runs[1][f"{fault}+recover"], runs[2][f"{fault}+recover"]
    assert (zero["ended"], zero["step"]) == (one["ended"], one["step"]) == ("ok", 8)
    assert zero["norm"] == pytest.approx(one["norm"], rel=1e-6)
    (recovery,) = report_of(folder / f"{fault}+recover")["recoveries"]
    assert (recovery["rule"], set(recovery["changed"])) == (rule, changed)


@pytest.mark.skipif(not RESUMES, reason="transformers cannot")
def test_ranks_resume_a_recovered_run_as_if_it_had_not_broken_off(runs: Any) -> None:
    name = "explosion-that-one-rank-sees+recover"
    for other in runs[1:]:
        whole, resumed = other[name], other[f"{name}+resumed"]
        assert (resumed["ended"], resumed["step"], resumed["norm"]) == ("ok", 8, whole["norm"])
        assert resumed["losses"] == whole["losses"][6:]


def test_where_one_rank_cannot_watch_none_waits_for_it(runs: Any) -> None:
    zero, one = runs[1]["one-rank-cannot-start"], runs[2]["one-rank-cannot-start"]
    assert zero["ended"] == one["ended"] == "ok"
    assert zero["losses"] == one["losses"] == [None] * 8


def test_monitors_of_a_plain_loop_stop_together_once_the_files_are_complete(python: Python, tmp_path: Path) -> None:
    """Rank 1 alone sees a NaN, and rank 0's disk is slow: launchers end rank 0 as soon as rank 1 has ended.

    Before that the first rank has trained with a monitor that the other has not: nobody waits for it.
    """
    began = time.monotonic()
    zero, one = python.ranks(2, script(tmp_path, PLAIN), tmp_path)
    assert one.returncode == 1
    assert time.monotonic() - began < 120
    first, both = (report_of(tmp_path / name) for name in ("first", "all"))
    assert (first["verdict"], first["step"]) == ("ok", 6)
    assert "every rank" in zero.stderr + one.stderr
    assert (both["verdict"], both["step"]) == ("failed", 5), "from the third on it is an ERROR"
    assert "(LW201)" in both["message"].partition("\n")[0]


RESTARTS = """
import json, os, signal, sys
from pathlib import Path
import torch.distributed as dist
from transformers import TrainerCallback
from lora_watch import LoraWatchCallback
from tests.support import build_trainer, lora, stdlib_blocks, tiny_model

out, rank, attempt = Path(sys.argv[1]) / "out", int(os.environ["RANK"]), int(os.environ["TORCHELASTIC_RESTART_COUNT"])
report = out / "lora_watch" / "report.json"
# In the launcher's own store gloo waits for the dead rank of the first attempt (torch 2.13, without us).
dist.init_process_group("gloo", init_method=f"file://{sys.argv[1]}/store{attempt}", rank=rank, world_size=2)
if attempt and rank == 0:
    (out / "before.json").write_text(report.read_text())

class Dies(TrainerCallback):
    def on_step_end(self, args, state, control, **_):
        if (attempt, rank, state.global_step) == (0, 1, 8):
            os.kill(os.getpid(), signal.SIGKILL)

trainer = build_trainer(lora(tiny_model(), alpha=128), stdlib_blocks(64, 32), 10, lr=5e-2, output_dir=str(out),
    callbacks=[LoraWatchCallback(fail_on="never", console=False), Dies()], ddp_backend="gloo",
    save_strategy="steps", save_steps=6)
trainer.train(resume_from_checkpoint=bool(attempt))
"""


@pytest.mark.thorough
def test_a_rank_that_is_killed_and_an_elastic_restart_are_one_story(tmp_path: Path) -> None:
    """SIGKILL after step 8, the checkpoint of step 6 with an alert open: torchrun starts all ranks again."""
    launcher = ("torch.distributed.run", "--standalone", "--nproc_per_node=2", "--max-restarts=1")
    done = subprocess.run(
        [sys.executable, "-m", *launcher, str(script(tmp_path, RESTARTS)), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    before, after = (
        json.loads((tmp_path / "out" / name).read_text()) for name in ("before.json", "lora_watch/report.json")
    )
    assert [(report["session"], report["verdict"]) for report in (before, after)] == [
        (1, "interrupted"),
        (2, "unhealthy"),
    ]
    assert after["step"] == 10
    (opened,) = {alert["step"] for alert in before["alerts"] if alert["rule"] == "LW102"}
    assert opened <= 6
    assert [alert["step"] for alert in after["alerts"] if alert["rule"] == "LW102"] == [opened]
    judged = judge([tmp_path / "out"])
    assert judged.exit_code == 1
    assert judged.runs[0].run.data.steps == list(range(11))


REPLICAS = """
import json, sys
from pathlib import Path
import torch, torch.distributed as dist
from lora_watch import LoraWatchError, Monitor
from tests.support import lora, stdlib_blocks, tiny_model

dist.init_process_group("gloo")
rank = dist.get_rank()
data = torch.tensor([e["input_ids"] for e in stdlib_blocks(2 * 2 * 6, 32)]).split(2)[rank::2]

def train(way, fail_on):
    torch.manual_seed(rank if way in ("seeds", "ddp with seeds") else 0)
    model = lora(tiny_model(), targets=["q_proj", "v_proj"]).train()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    averaged = [] if way.startswith("ddp") else list(trained.values())
    if way == "ddp without v_proj":
        model._ddp_params_and_buffers_to_ignore = [name for name in trained if "v_proj" in name]
    wrapped = torch.nn.parallel.DistributedDataParallel(model) if way.startswith("ddp") else model
    optimizer = torch.optim.AdamW(list(trained.values()), lr=2e-3)
    monitor = Monitor(wrapped, optimizer, fail_on=fail_on, console=False)
    try:
        with monitor:
            for ids in data:
                loss = wrapped(input_ids=ids, labels=ids).loss
                loss.backward()
                for parameter in averaged:
                    dist.all_reduce(parameter.grad)
                    parameter.grad /= 2
                optimizer.step()
                monitor.step(loss=loss)
                optimizer.zero_grad()
    except LoraWatchError:
        pass
    alert = next((a for a in monitor.alerts if a.rule == "LW312"), None)
    return [monitor.steps, alert and [alert.step, sorted({name.rpartition(".")[2] for name, _ in alert.adapters})]]

ways = ("ddp", "ddp with seeds", "ddp without v_proj", "seeds", "one seed")
said = {way: train(way, None) for way in ways} | {"ends": train("seeds", "error")}
Path(sys.argv[1], f"{rank}.json").write_text(json.dumps(said))
"""


def test_ranks_that_train_several_models_are_told_from_replicas(python: Python, tmp_path: Path) -> None:
    for done in python.ranks(2, script(tmp_path, REPLICAS), tmp_path):
        assert done.returncode == 0, done.stderr[-2000:]
    zero, one = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    both = ["q_proj", "v_proj"]
    fires = {"ddp without v_proj": [6, [2, ["v_proj"]]], "seeds": [6, [2, both]], "ends": [2, [2, both]]}
    assert zero == fires | {way: [6, None] for way in ("ddp", "ddp with seeds", "one seed")}
    assert one == {way: [6, None] for way in zero} | {"ends": fires["ends"]}  # the first rank looks, and all end


REGRESSOR = """
import contextlib, json, os, torch
from lora_watch import LoraWatchError, Monitor
from tests.rules.runs import InOrder, run
from tests.rules.test_chance import classifier
from tests.support import FEW, updates

rows = [{"labels": torch.tensor(2e5 + n % 7), "inputs_embeds": torch.ones(4, 128)} for n in range(48)]
rows[-3]["labels"] *= float("nan")  # of rank 1's sixth batch
monitors = [run(classifier(1, FEW), 6, dataset=rows, trainer_class=InOrder, ddp_backend="gloo")]
for fail_on in ("error", "never"):
    model, mine = classifier(1, FEW), list(torch.utils.data.DataLoader(rows, 4))[int(os.environ["RANK"])::2]
    parallel = torch.nn.parallel.DistributedDataParallel(model.train())
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    monitors.append(Monitor(parallel, optimizer, fail_on=fail_on, console=False))
    with contextlib.suppress(LoraWatchError), monitors[-1] as monitor:
        updates(monitor, optimizer, (parallel(**batch).loss for batch in mine))
said = [[f"{a.rule} {a.step} {a.causes[0][:15]} {a.next_run}" for a in monitor.alerts] for monitor in monitors]
print(json.dumps([[alerts[0][:7], *alerts[1:]] for alerts in said]))
"""


def test_what_one_rank_knows_of_its_batch_is_the_cause_on_all(python: Python, tmp_path: Path) -> None:
    """And of a regression's targets they know the mean. Without ``fail_on`` the ranks of a loop do not talk."""
    done = python.ranks(2, script(tmp_path, REGRESSOR))
    zero, one = (json.loads(rank.stdout.splitlines()[-1]) for rank in done)
    trainer, loop = ["LW205 3", "LW201 6 NaN or infinity None"], ["LW205 4", "LW101 6 NaN or infinity None"]
    assert zero == [trainer, loop, ["LW205 4", "LW101 6 no layer has a  None"]]
    assert one == [trainer, loop, ["LW205 4", trainer[1]]]
