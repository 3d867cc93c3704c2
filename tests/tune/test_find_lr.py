"""A sweep leaves no trace: the run after it is bit for bit the one at that rate from the start."""

import hashlib
import json
import math
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Trainer

from lora_watch import LoraWatchCallback, find_learning_rate
from lora_watch.drivers.trainer_info import planned_steps
from lora_watch.tune.suggestion import Curve, Suggestion
from lora_watch.tune.sweep import STEPS
from tests.support import build_trainer, few, lora, on, report_of, stdlib_blocks, tiny_model
from tests.trainer.test_trainers import with_trl

TIMES = ("runtime", "per_second")


def built(lr: float = 2e-4, **arguments: Any) -> Trainer:
    """Draws at every step: dropout, and the order of the data. Logs, saves and evaluates."""
    torch.manual_seed(0)
    settings: dict[str, Any] = {"dataset": stdlib_blocks(256), "warmup_steps": 2, "logging_steps": 2}
    settings |= {"save_strategy": "steps", "save_steps": 3}
    settings |= {"eval_strategy": "steps", "eval_steps": 3, "eval_dataset": stdlib_blocks(4)}
    return build_trainer(few(lora_dropout=0.1), steps=6, lr=lr, **{**settings, **arguments})


def end_of(trainer: Trainer) -> tuple[str, list[dict[str, Any]]]:
    """Digest of weights, optimizer and random states; what was logged, without how long it took."""
    digest = hashlib.sha256()
    for parameter in trainer.model.parameters():  # type: ignore[union-attr]
        if parameter.requires_grad:
            digest.update(parameter.detach().numpy().tobytes())
            for value in trainer.optimizer.state[parameter].values():  # type: ignore[union-attr]
                digest.update(np.asarray(value).tobytes())
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index]
    digest.update(repr(states).encode())
    logged = [
        {name: value for name, value in row.items() if not any(word in name for word in TIMES)}
        for row in trainer.state.log_history
    ]
    return digest.hexdigest(), logged


def end_of_training(trainer: Trainer) -> tuple[str, list[dict[str, Any]]]:
    trainer.train()
    return end_of(trainer)


def test_the_run_after_a_sweep_is_the_run_from_the_start() -> None:
    steps, watch = list[object](), LoraWatchCallback(console=False, tensorboard=False)
    trainer = built(callbacks=[on("step_end", lambda *_, **__: steps.append(1)), watch])  # whom no sweep reaches
    before = dict(vars(trainer))
    found = find_learning_rate(trainer, steps=30)
    assert vars(trainer) == before
    assert (steps, found.steps) == ([], 6)
    assert 1e-3 < found.rate < found.edge / 2
    folder = Path(trainer.args.output_dir)  # type: ignore[arg-type]
    assert {path.name for path in folder.rglob("*")} == {"lora_watch", "find_lr.json"}
    assert json.loads((folder / "lora_watch" / "find_lr.json").read_text())["rate"] == found.rate
    trainer.args.learning_rate = found.rate
    trainer.train()
    assert len(steps) == 6
    assert end_of(trainer) == end_of_training(built(found.rate))
    assert watch.found is found
    config = report_of(folder)["config"]
    assert config["learning_rate"] == config["find_lr"]["rate"]
    assert config["find_lr"]["sentences"] == found.sentences()


def sft() -> Trainer:
    """TRL's, with its own collator and loss."""
    torch.manual_seed(0)
    rows = [{"input_ids": row["input_ids"]} for row in stdlib_blocks(32)]
    folder = Path(tempfile.mkdtemp())
    return with_trl("SFT", rows, few, max_steps=6)(folder, LoraWatchCallback(console=False, tensorboard=False))


def in_groups(schedule: bool = False, **arguments: Any) -> Trainer:
    """As LoRA+ has it: B four times as fast as A, under a schedule of one's own or the Trainer's."""
    trainer = built(**arguments)
    named = [(n, p) for n, p in trainer.model.named_parameters() if p.requires_grad]  # type: ignore[union-attr]
    slow, fast = ([p for n, p in named if (".lora_B." in n) is is_b] for is_b in (False, True))
    trainer.optimizer = torch.optim.AdamW([{"params": slow}, {"params": fast, "lr": 4e-3}], lr=1e-3)
    if schedule:
        trainer.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(trainer.optimizer, lambda step: 1.0 / (step + 1))
    return trainer


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: built(optim="adafactor"), id="adafactor", marks=pytest.mark.thorough),
        pytest.param(lambda: built(optim="sgd", neftune_noise_alpha=5.0), id="sgd-neftune"),
        pytest.param(in_groups, id="groups", marks=pytest.mark.thorough),
        pytest.param(sft, id="sft"),
    ],
)
def test_a_short_sweep_leaves_no_trace_in_other_trainings(make: Callable[[], Trainer]) -> None:
    trainer = make()
    find_learning_rate(trainer, steps=12)
    assert end_of_training(trainer) == end_of_training(make())


def test_groups_keep_their_ratio_at_the_rate_that_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Suggestion(3e-3, None, Curve(*[np.ones(1)] * 3))
    monkeypatch.setattr("lora_watch.tune.find_lr.sweep_of", lambda *_, **__: found)
    watch = LoraWatchCallback(find_lr=True, console=False, tensorboard=False)
    in_groups(callbacks=[watch]).train()
    assert watch.monitor.run.peak_lr == pytest.approx((3e-3, 12e-3))


def test_a_schedule_of_ones_own_is_not_touched(caplog: pytest.LogCaptureFixture) -> None:
    """Neither by a sweep, which may be longer, nor by a callback that would sweep first."""
    trainer = in_groups(schedule=True)
    own: Any = trainer.lr_scheduler
    before = repr(own.state_dict())
    rates: list[list[float]] = []
    hook = trainer.optimizer.register_step_pre_hook(  # type: ignore[union-attr]
        lambda optimizer, *_: rates.append([group["lr"] for group in optimizer.param_groups])
    )
    find_learning_rate(trainer, steps=12)
    hook.remove()
    assert [fast / slow for slow, fast in rates] == pytest.approx([4.0] * len(rates))
    assert trainer.lr_scheduler is own
    assert repr(own.state_dict()) == before
    trainer.add_callback(watch := LoraWatchCallback(find_lr=True, console=False, tensorboard=False))
    trainer.train()
    assert (watch.found, "a schedule of your own" in caplog.text) == (None, True)
    assert end_of(trainer) == end_of_training(in_groups(schedule=True))


def test_an_exception_in_a_sweep_leaves_no_trace_either() -> None:
    trainer: Any = in_groups(schedule=True, trainer_class=Broken)
    trainer.fault = "unlucky"
    with pytest.raises(RuntimeError, match="unlucky"):
        find_learning_rate(trainer, steps=30)
    trainer.fault = ""
    assert end_of_training(trainer) == end_of_training(in_groups(schedule=True))


class Broken(Trainer):
    fault, losses = "", 0

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        self.losses += 1
        if self.fault == "unlucky" and self.losses == 4:
            raise RuntimeError("unlucky")
        loss = super().compute_loss(*args, **kwargs)
        factor = {"sign": -1.0, "batch": math.nan if self.losses == 15 else 1.0}.get(self.fault)
        return loss if factor is None else loss * factor


FAULTS = {"rows": "LW205", "sign": "LW205", "half": "LW303", "masked": "LW201", "batch": "LW201"}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_broken_at_any_rate_is_named_and_no_rate_is(fault: str) -> None:
    model, rows = few(), stdlib_blocks(64)
    wrong = {"rows": rows[9]["labels"], "masked": [-100] * 64}
    rows = [{**row, "labels": wrong.get(fault, row["labels"])} for row in rows]
    for name, parameter in model.named_parameters() if fault == "half" else ():
        parameter.requires_grad_("lora_A" in name or "q_proj.lora_B" in name)
    watch = LoraWatchCallback(find_lr=True, console=False, tensorboard=False)
    trainer: Any = build_trainer(model, rows, steps=1, lr=5e-4, callbacks=[watch], trainer_class=Broken)
    trainer.fault = fault
    trainer.train()
    assert (watch.found.fault, watch.found.rate_or_middle, watch.found.edge) == (FAULTS[fault], None, None)
    assert f"({FAULTS[fault]})" in watch.found.sentences()[1]
    assert max(report_of(trainer)["peak_lr"]) == trainer.args.learning_rate == 5e-4
    watch.find_lr = "only"
    with pytest.raises(SystemExit, match="1"):
        trainer.train()


def test_what_cannot_be_swept_is_refused_with_the_reason() -> None:
    trainer = built()
    for parameter in trainer.model.parameters():  # type: ignore[union-attr]
        parameter.requires_grad_(False)
    trainer.optimizer = torch.optim.AdamW(trainer.model.parameters())  # type: ignore[union-attr]
    with pytest.raises(ValueError, match=r"no learning rate to find: .*LW301"):
        find_learning_rate(trainer)
    with pytest.raises(ValueError, match="parameter group"):
        find_learning_rate(built(lr=0.0))


def test_the_length_of_a_run_is_known_before_it_begins() -> None:
    epochs = {"num_train_epochs": 1.5, "gradient_accumulation_steps": 2}
    trainer = build_trainer(few(), stdlib_blocks(10), steps=-1, **epochs)
    planned = planned_steps(trainer)
    trainer.train()
    assert planned == trainer.state.max_steps == 3
    trainer.train_dataset = (example for example in ())  # type: ignore[assignment]
    assert planned_steps(trainer) is None
    trainer.args.max_steps = 7
    assert planned_steps(trainer) == 7


@pytest.mark.thorough
def test_a_callback_that_finds_first_trains_as_from_the_start(capsys: pytest.CaptureFixture[str]) -> None:
    watch = LoraWatchCallback(find_lr=True, tensorboard=False)
    arguments = {"bf16": True, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 2}
    trainer = built(callbacks=[watch], **arguments)
    trainer.train()
    assert watch.found.rate is not None
    printed = capsys.readouterr().err
    before, after = printed.split(watch.found.sentences()[0])
    assert f"about {STEPS} steps" in before, "no silence while it looks"
    assert "trains at this rate" in after
    assert printed.count(f"{watch.found.rate:g} ({watch.found.low:g} to {watch.found.high:g})") == 1
    assert trainer.args.learning_rate == watch.found.rate
    assert end_of(trainer) == end_of_training(built(watch.found.rate, **arguments))
    report = report_of(trainer)
    assert (watch.found.steps, report["step"]) == (6, 6)
    assert report["config"]["learning_rate"] == report["config"]["find_lr"]["rate"] == watch.found.rate


@pytest.mark.parametrize("kind", ["DPOTrainer", "GRPOTrainer"])
def test_a_loss_that_is_no_measure_of_success_is_not_swept(kind: str) -> None:
    trainer = built()
    trainer.__class__ = type(kind, (Trainer,), {})
    with pytest.raises(ValueError, match=f"loss .*{kind}.* `lora-watch advise` .* a tenth"):
        find_learning_rate(trainer)


@pytest.mark.parametrize("begun", ["pissa", pytest.param("continued", marks=pytest.mark.thorough)])
def test_adapters_that_do_not_begin_at_nothing(begun: str) -> None:
    """Their size is not what the sweep has brought, and is not read."""
    model = lora(tiny_model(), init_lora_weights="pissa" if begun == "pissa" else True)
    trainer = build_trainer(model, stdlib_blocks(256), steps=20, lr=5e-3)
    if begun == "continued":
        trainer.train()
    found = find_learning_rate(trainer, steps=30)
    assert not found.by_size
    assert found.ratio_one_at is None
    if begun == "continued":  # trained at a good rate on the same data, there is nothing left to tell by
        assert found.rate is None or found.edge is not None
    else:
        assert 1e-3 < found.rate < found.edge / 2


@pytest.mark.parametrize(
    ("found", "taken"),
    [((3e-3, 2e-3, 5e-3), 3e-3), ((None, 2e-3, 8e-3), 4e-3), ((None, None, None), 5e-4)],
    ids=["rate", "range", "nothing"],
)
def test_what_a_run_has_found_itself_is_taken_and_no_change_for_the_next_one(
    found: tuple[float | None, ...], taken: float, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Of a range the middle; where nothing is known the rate that is set."""
    rate, low, high = found
    one = np.ones(1)
    curve = Curve(np.zeros(0) if low is None else one, one, one)
    monkeypatch.setattr("lora_watch.tune.find_lr.sweep_of", lambda *_, **__: Suggestion(rate, None, curve, low, high))
    watch = LoraWatchCallback(find_lr=True, tensorboard=False)
    saves = {"save_strategy": "steps", "save_steps": 1}
    trainer = build_trainer(few(), stdlib_blocks(8), steps=2, lr=5e-4, callbacks=[watch], **saves)
    trainer.train()
    report = report_of(trainer)
    assert (report["next_run"], report["alerts"]) == (None, [])
    assert max(report["peak_lr"]) == pytest.approx(taken) == trainer.args.learning_rate
    monkeypatch.undo()
    trainer.args.learning_rate, trainer.optimizer, trainer.lr_scheduler = 5e-4, None, None  # as in a new process
    trainer.train(resume_from_checkpoint=f"{trainer.args.output_dir}/checkpoint-1")
    resumed = report_of(trainer)
    assert (resumed["alerts"], resumed["config"]["learning_rate"]) == ([], pytest.approx(taken)), "as it was found"
    assert resumed["config"]["find_lr"] == report["config"]["find_lr"]
    assert capsys.readouterr().err.count("trying learning rates") == 1, "a sweep that is refused begins with no word"
