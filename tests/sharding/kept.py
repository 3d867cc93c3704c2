"""Runs that go wrong on several ranks, and the adapter that each leaves in last_good/."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from peft import PeftModel
from transformers import Trainer, TrainerCallback

from lora_watch import LoraWatchCallback, LoraWatchError, Monitor
from tests.sharding.trainers import a_trainer, fresh, whole
from tests.sharding.ways import WAYS, rank, through_trainer
from tests.support import lora, report_of, stdlib_blocks, tiny_model

NAN = float("nan")
Truth = dict[int, dict[str, torch.Tensor]]


def kept(way: str, folder: Path) -> dict[str, Any]:
    """By name of the run: which rule ended it, the step of the adapter that is left, and whether it is the true one."""
    if through_trainer(way):
        return {"loss": by_a_trainer(way, folder / f"{way}-loss")}
    runs = ("loss",) if way.startswith("fsdp1") else ("loss", "gradient")  # FSDP1's gradients are unknown
    return {name: by_a_loop(way, folder / f"{way}-{name}", name) for name in runs}


def by_a_loop(way: str, folder: Path, nan: str) -> dict[str, Any]:
    """A loss that one rank alone hears of, after an update; or a gradient of the other's, before one."""
    torch.manual_seed(0)
    targets = "all-linear" if way == "tensor-parallel" else ["q_proj", "v_proj"]
    model, _ = WAYS[way](lora(tiny_model(), targets=targets).train())
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    # Where the model is spread none is kept, and each step of this test gathers all of it.
    steps = {"loss": 4, "gradient": 3}[nan] if way.startswith("fsdp") else {"loss": 28, "gradient": 11}[nan]
    data = torch.tensor([block["input_ids"] for block in stdlib_blocks(2 * steps, 32)]).split(2)
    truth: Truth = {0: wholes(model)}
    ended = None
    try:
        with Monitor(model, optimizer, output_dir=folder, console=False, fail_on="error") as monitor:
            for step, ids in enumerate(data, start=1):
                loss = model(input_ids=ids, labels=ids).loss
                loss.backward()
                if (nan, step, rank()) == ("gradient", steps, 1):
                    gradient: Any = next(p.grad for p in model.parameters() if p.grad is not None)
                    (gradient.to_local() if hasattr(gradient, "to_local") else gradient).fill_(NAN)
                optimizer.step()
                truth[step] = wholes(model)
                spoiled = nan == "loss" and step > steps - 3 and rank() == 0  # a single one does no harm
                monitor.step(loss=NAN if spoiled else float(loss.detach()))
                optimizer.zero_grad()
    except LoraWatchError as error:
        ended = error.alerts[0].rule
    return {"ended": ended, **compared(folder, truth)}


def by_a_trainer(way: str, folder: Path) -> dict[str, Any]:
    """A loss of one rank's, which the Trainer's callback hears of before the update, unless DeepSpeed has made it."""
    nan_at = 28 if way.startswith("zero") else 11
    truth: Truth = {}
    ended = None

    class Spoiled(Trainer):
        def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            loss = model(**inputs).loss
            return loss * NAN if (self.state.global_step + 1, rank()) == (nan_at, 1) else loss

    class Truths(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            with whole(way, model):
                truth[state.global_step] = wholes(model)

        on_train_begin = on_step_end

    torch.manual_seed(0)
    watching = LoraWatchCallback(console=False, tensorboard=False, fail_on="error")
    with fresh(way):
        trainer = a_trainer(way, folder, nan_at + 1, [watching, Truths()], Spoiled)
        try:
            trainer.train()
        except LoraWatchError as error:
            ended = error.alerts[0].rule
    return {"ended": ended, **compared(folder, truth)}


def wholes(model: Any) -> dict[str, torch.Tensor]:
    there = {n: getattr(p, "full_tensor", lambda p=p: p)() for n, p in model.named_parameters() if p.requires_grad}
    return {name.removeprefix("module."): tensor.detach().clone() for name, tensor in there.items()}


def compared(folder: Path, truth: Mapping[int, Mapping[str, torch.Tensor]]) -> dict[str, Any]:
    """The adapter that was left, as PEFT loads it, and what was true after its step."""
    dist.barrier()
    if rank():
        return {}
    report = report_of(folder)
    left = sorted(path.name for path in (folder / "lora_watch").glob("last_good*"))
    if report["last_good"]["step"] is None:
        return {"step": None, "why": report["last_good"]["why_not"], "left": left}
    step = report["last_good"]["step"]
    loaded = PeftModel.from_pretrained(tiny_model(), str(folder / "lora_watch" / "last_good"), is_trainable=True)
    there, true = {n: p for n, p in loaded.named_parameters() if p.requires_grad}, truth[step]
    same = there.keys() == true.keys() and all(torch.equal(there[name], tensor) for name, tensor in true.items())
    return {"step": step, "same": same, "left": left}
