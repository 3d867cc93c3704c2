"""What every test may use: the packaged pretrained model, real text, real PEFT and the real Trainer, kept small.

::

    from tests.support import lora, stdlib_blocks, tiny_model, train

    trainer = train(lora(tiny_model()), stdlib_blocks(), steps=5, callbacks=[LoraWatchCallback()])
"""

import copy
import functools
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from packaging.version import Version
from peft import LoraConfig, get_peft_model
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from typer.testing import CliRunner, Result

from lora_watch import Alert, Sink, StepRecord
from lora_watch.base.records import RunInfo
from lora_watch.cli.app import app
from lora_watch.demo.models import tiny_llama

Dataset = Sequence[Mapping[str, Any]]

DEVICE = torch.device(os.environ.get("TEST_DEVICE", "cpu"))
"""Where models are: the CPU, but where there is an accelerator to try (see conftest)."""

BLOCKS = Path(__file__).with_name("stdlib_blocks.npz")
"""Token ids by length, ``uint16[n, length]``, and pieces of text with classes; tests/blocks.py makes it."""

_scratch = tempfile.TemporaryDirectory(prefix="lora-watch-tests-")  # removed when the tests end
_pretrained = functools.cache(tiny_llama)


def tiny_model() -> Any:
    """The packaged pretrained Llama (4 layers, d 128, fp32): a fresh copy at each call."""
    return copy.deepcopy(_pretrained()[0]).to(DEVICE)


def tiny_tokenizer() -> Any:
    """Its tokenizer (BPE, 1024 tokens), shared."""
    return _pretrained()[1]


@functools.cache
def stdlib_blocks(n: int = 64, length: int = 64) -> Dataset:
    """``n`` blocks of ``length`` tokens of Python's standard library: dicts of ``input_ids`` and ``labels``.

    From a file, for the library differs between versions of Python, and thresholds of single runs with it.
    """
    with np.load(BLOCKS) as kept:
        ids = kept[str(length)][:n].tolist()
    assert len(ids) == n, f"{BLOCKS.name} holds {len(ids)} blocks of {length} tokens; tests/blocks.py makes more"
    return [{"input_ids": block, "labels": block} for block in ids]


def lora(model: Any, r: int = 8, alpha: float = 16, targets: Any = "all-linear", **config: Any) -> Any:
    """``model`` wrapped by PEFT; further keywords go to LoraConfig (``use_rslora=True``, ``rank_pattern=…``)."""
    config.setdefault("task_type", "CAUSAL_LM")
    return get_peft_model(model, LoraConfig(r=r, lora_alpha=alpha, target_modules=targets, **config))


FEW = ["q_proj", "down_proj"]


def few(**config: Any) -> Any:
    """The packaged model with eight adapters of two kinds: half the time of 28, where that does not matter."""
    return lora(tiny_model(), targets=FEW, **config)


def in_4_bits(model: Any) -> Any:
    """``model`` whose q_proj and v_proj are kept in bitsandbytes' 4 bits."""
    bnb: Any = pytest.importorskip("bitsandbytes")
    for module in list(model.modules()):
        for name in {"q_proj", "v_proj"} & {name for name, _ in module.named_children()}:
            plain = getattr(module, name)
            layer = bnb.nn.Linear4bit(
                plain.in_features, plain.out_features, bias=False, compute_dtype=torch.float32, quant_type="nf4"
            )
            layer.load_state_dict(plain.state_dict())
            setattr(module, name, layer)
    model.is_loaded_in_4bit = True  # as transformers says; PEFT chooses its own layers by it
    return model.to("cpu")  # bitsandbytes quantises when it is moved


def needs_peft(version: str) -> pytest.MarkDecorator:
    """For a test of what PEFT has since ``version`` only."""
    return pytest.mark.skipif(Version(peft.__version__) < Version(version), reason=f"since PEFT {version}")


def build_trainer(
    model: Any,
    dataset: Dataset | None = None,
    steps: int = 10,
    callbacks: Iterable[Any] = (),
    lr: float = 2e-3,
    trainer_class: type[Trainer] = Trainer,
    eval_dataset: Dataset | None = None,
    **arguments: Any,
) -> Trainer:
    """A real Trainer that is silent, saves nothing, reports nowhere and works in a temporary folder.

    ``arguments`` go to TrainingArguments and win over the defaults here (batch of 4, linear decay, seed 0).
    """
    settings = {
        "output_dir": tempfile.mkdtemp(dir=_scratch.name),
        "max_steps": steps,
        "learning_rate": lr,
        "per_device_train_batch_size": 4,
        "use_cpu": DEVICE.type == "cpu",
        "dataloader_pin_memory": False,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": 0,
    } | arguments
    trainer = trainer_class(
        model=model,
        args=TrainingArguments(**settings),
        train_dataset=stdlib_blocks() if dataset is None else dataset,  # type: ignore[arg-type]
        eval_dataset=eval_dataset,  # type: ignore[arg-type]
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.floating_point_ops = lambda inputs: 0  # type: ignore[method-assign]  # walks all modules at every step
    return trainer


def train(model: Any, dataset: Dataset | None = None, steps: int = 10, **rest: Any) -> Trainer:
    """``build_trainer(…)``, trained. To catch what training raises, build first and call ``.train()`` yourself."""
    trainer = build_trainer(model, dataset, steps, **rest)
    trainer.train()
    return trainer


class Keeps(Sink):
    """Keeps what sinks are given."""

    def __init__(self) -> None:
        self.runs: list[RunInfo] = []
        self.records: list[StepRecord] = []
        self.alerts: list[Alert] = []
        self.verdicts: list[str] = []

    def start(self, run: RunInfo, step: int) -> None:
        self.runs.append(run)

    def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
        self.records.append(record)
        self.alerts += alerts

    def finish(self, verdict: str, message: str | None) -> None:
        self.verdicts.append(verdict)


def updates(monitor: Any, optimizer: Any, losses: Iterable[torch.Tensor]) -> None:
    """A plain loop over ``losses``, a generator that computes each of them when its step has come."""
    for loss in losses:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        monitor.step(loss=loss)


def lora_watch(*words: object, **environment: str) -> Result:
    """The command line in this process. Whatever it raises but an exit is raised here."""
    env = {"COLUMNS": "250", "TERM": "dumb", "NO_COLOR": "1", "GITHUB_ACTIONS": None, **environment}
    return CliRunner().invoke(app, list(map(str, words)), env=env, catch_exceptions=False)


def on(event: str, act: Callable[..., object]) -> TrainerCallback:
    """Calls ``act`` at an event of the Trainer's: ``on("step_end", lambda state, model, **_: …)``."""

    def called(args: Any, state: Any, control: Any, **rest: Any) -> None:
        act(args=args, state=state, control=control, **rest)

    callback = TrainerCallback()
    setattr(callback, f"on_{event}", called)
    return callback


def report_of(run: Any) -> dict[str, Any]:
    """What ``report.json`` holds of a run: of its Trainer, or of its ``output_dir``."""
    folder = run if isinstance(run, Path) else Path(run.args.output_dir)
    return json.loads((folder / "lora_watch" / "report.json").read_text(encoding="utf-8"))
