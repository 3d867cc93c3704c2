"""Train the runs of the corpus and keep their traces. Restartable: a run whose trace is there is not trained again.

    python -m benchmarks.corpus.generate [--base tiny|minilm|smollm2] [--only TEXT]

About two hours of one core for everything; runs of 1,500 steps are made by ``long.py``. The larger models need the
packages that ``lora-watch demo`` names.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from peft import LoraConfig, get_peft_model
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, set_seed

from benchmarks.corpus.faults import FAULTS
from benchmarks.corpus.plan import LONG, Spec, extremes, faults, fresh, grid
from benchmarks.corpus.traces import Trace, load, save
from lora_watch import LoraWatchCallback
from lora_watch.alerts import Alert
from lora_watch.demo import models, texts
from lora_watch.demo.tasks import mean_loss
from lora_watch.records import RunInfo, StepRecord
from lora_watch.sinks import Sink, Verdict

TRACES = Path(__file__).parent / "traces"
AFTERWARDS = 150
"""Steps that a long run goes on for after its fault."""


class Recorder(Sink):
    """Keeps every record."""

    def __init__(self) -> None:
        self.records: list[StepRecord] = []

    def start(self, run: RunInfo, step: int) -> None:
        pass

    def write(self, record: StepRecord, alerts: Sequence[Alert]) -> None:
        if not self.records or record.step > self.records[-1].step:  # the last may come again, with the final word
            self.records.append(record)

    def finish(self, verdict: Verdict, message: str | None = None) -> None:
        pass


class RecordingCallback(LoraWatchCallback):
    """Writes nothing to disk. Measures everything at every step unless ``max_overhead`` says what that may cost."""

    def __init__(self, max_overhead: float = math.inf) -> None:
        super().__init__(fail_on="never", max_overhead=max_overhead, console=False)
        self.recorder = Recorder()

    def _sinks(self, *args: Any) -> list[Sink]:
        return [self.recorder]


@functools.cache
def data(base: str, task: str, long: bool = False) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """``(train, held_out)`` examples."""
    if base == "minilm":
        articles, classes = texts.bbc_news()
        _, tokenizer = models.minilm(len(classes))
        train, held_out = texts.split(articles)
        return texts.labelled(train[:600], tokenizer, 96), texts.labelled(held_out[:120], tokenizer, 96)
    documents = texts.stdlib_text() if task == "python" else [text for text, _ in texts.bbc_news()[0]]
    train, held_out = texts.split(documents)
    if base == "tiny":
        tokenizer, sizes, length = models.tiny_llama()[1], (6000, 128) if long else (1500, 64), 32 if long else 128
    else:
        tokenizer, sizes, length = models.smollm2()[1], (240, 24), 32
    return texts.blocks(train, tokenizer, sizes[0], length), texts.blocks(held_out, tokenizer, sizes[1], length)


def pretrained(base: str) -> Any:
    """A fresh pretrained model."""
    if base == "minilm":
        return models.minilm(len(texts.bbc_news()[1]))[0]
    return models.tiny_llama()[0] if base == "tiny" else models.smollm2()[0]


def train(
    spec: Spec,
    folder: str,
    callback: Any = None,
    prepare: Callable[[Trainer], None] | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> tuple[Trainer, float, float]:
    """Train ``spec``; the Trainer, and the held-out loss before and after.

    ``prepare`` is called with the Trainer before it trains; ``arguments``: further TrainingArguments.
    """
    fault = FAULTS[spec.fault] if spec.fault else None
    examples, held_out = data(spec.base, spec.task, spec.steps >= LONG)
    set_seed(spec.seed)
    model = pretrained(spec.base)
    linear: Any = ["q_proj", "v_proj"] if spec.few else "all-linear"
    head = {"modules_to_save": ["classifier"]} if spec.base == "minilm" else {}
    lora = LoraConfig(
        r=spec.r,
        lora_alpha=spec.alpha,  # type: ignore[arg-type]
        use_rslora=spec.rslora,
        target_modules=["query", "key", "value", "dense"] if spec.base == "minilm" else linear,
        task_type="SEQ_CLS" if spec.base == "minilm" else "CAUSAL_LM",
        **head,  # type: ignore[arg-type]
    )
    model = get_peft_model(model, lora)
    settings: dict[str, Any] = {
        "output_dir": folder,
        "max_steps": spec.steps,
        "learning_rate": spec.lr,
        "per_device_train_batch_size": spec.batch,
        "lr_scheduler_type": spec.schedule,
        "warmup_steps": spec.warm_up,
        "optim": spec.optimizer,
        "weight_decay": spec.weight_decay,
        "seed": spec.seed,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "dataloader_pin_memory": False,
        "disable_tqdm": True,
    }
    settings |= arguments or {}
    if spec.schedule == "cosine_with_restarts":
        settings["lr_scheduler_kwargs"] = {"num_cycles": 4}
    if fault is not None:
        settings |= fault.arguments
        if fault.prepare is not None:
            fault.prepare(model)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(**settings),
        train_dataset=list(examples),  # type: ignore[arg-type]
        callbacks=[callback] if callback else [],
        optimizers=(_loraplus(model, spec), None),
    )
    trainer.remove_callback(PrinterCallback)
    if fault is not None:
        fault.inject(trainer, spec.fault_step)
        if spec.steps >= LONG:
            trainer.add_callback(_EndsAt(spec.fault_step + AFTERWARDS))
    if prepare is not None:
        prepare(trainer)
    before = mean_loss(trainer.model, held_out)
    trainer.train()
    return trainer, before, mean_loss(trainer.model, held_out)


class _EndsAt(TrainerCallback):
    """Ends the run at ``step``, whatever it planned."""

    def __init__(self, step: int):
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_training_stop |= state.global_step >= self.step


def _loraplus(model: Any, spec: Spec) -> torch.optim.Optimizer | None:
    """The optimizer of LoRA+; None where the Trainer makes one itself."""
    if spec.plus == 1:
        return None
    from peft.optimizers import create_loraplus_optimizer  # newer than the oldest PEFT that the tests run with

    return create_loraplus_optimizer(model, torch.optim.AdamW, lr=spec.lr, loraplus_lr_ratio=spec.plus)


def trace(spec: Spec, max_overhead: float = math.inf) -> Trace:
    """Train ``spec`` under the recording callback."""
    callback = RecordingCallback(max_overhead)
    with tempfile.TemporaryDirectory() as folder:
        trainer, before, after = train(spec, folder, callback)
    logged = {entry["step"]: entry["grad_norm"] for entry in trainer.state.log_history if "grad_norm" in entry}
    grad_norm = torch.tensor([float(logged.get(step, math.nan)) for step in range(1, spec.steps + 1)]).double().numpy()
    return Trace(dataclasses.asdict(spec), before, after, grad_norm, callback.recorder.records)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", choices=("tiny", "minilm", "smollm2"), help="only runs of this model")
    parser.add_argument("--only", default="", help="only runs whose name holds this text")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    specs = [s for s in [*plan(), *extremes()] if wanted.base in (None, s.base) and wanted.only in s.name]
    missing = [s for s in specs if not path_of(s).exists()]
    print(f"{len(specs)} runs, {len(specs) - len(missing)} of them are there")
    for i, spec in enumerate(missing, 1):
        began = time.perf_counter()
        done = trace(spec)
        save(path_of(spec), done)
        took = time.perf_counter() - began
        print(f"{i}/{len(missing)} {spec.name}: {done.before:.3f} → {done.after:.3f}, {took:.0f} s", flush=True)


def plan() -> list[Spec]:
    """Every run of the corpus that is scored: not the extremes, which only their cures are judged by."""
    return [*grid(), *fresh(), *faults(FAULTS)]


def load_all(specs: Iterable[Spec] | None = None) -> dict[Spec, Trace]:
    """The traces that are there of ``specs``, of the whole plan by default, by what they are runs of."""
    return {spec: load(path_of(spec)) for spec in specs or plan() if path_of(spec).exists()}


def path_of(spec: Spec) -> Path:
    """Where the trace of ``spec`` is kept."""
    return TRACES / spec.base / f"{spec.name}.xz"


if __name__ == "__main__":
    main()
