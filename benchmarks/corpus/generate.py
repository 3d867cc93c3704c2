"""Train the runs of the corpus and keep their traces. Restartable: a run whose trace is there is not trained again.

    python -m benchmarks.corpus.generate [--base tiny|minilm|smollm2] [--only TEXT]
    python -m benchmarks.corpus.generate --pack       puts the new traces into the files of their models

About two hours of one core for everything; runs of 1,500 steps are made by ``long.py``. The larger models need the
packages that ``lora-watch demo`` names.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import math
import os
import random
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
from benchmarks.corpus.models import LARGER, larger, minilm, smollm2
from benchmarks.corpus.plan import LONG, TARGETS, Spec, everyday, extremes, faults, fresh, grid
from benchmarks.corpus.tasks import CLASSES, TEXTS, bbc_news, classified, labelled
from benchmarks.corpus.traces import Trace, load, names, save
from lora_watch import LoraWatchCallback
from lora_watch.base.alerts import Alert, Severity, Verdict
from lora_watch.base.records import RunInfo, StepRecord
from lora_watch.demo import models, texts
from lora_watch.demo.tasks import mean_loss
from lora_watch.rules import BarelyMoves, Rule
from lora_watch.rules.norms import BATCHES
from lora_watch.rules.size import HARM, wanted_at_the_end
from lora_watch.sinks import Sink

TRACES = Path(__file__).parent / "traces"
"""One file a model, of all its runs."""
NEW = Path(__file__).parent / "new_traces"
"""One file a run, until they are packed; git ignores them."""
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


@dataclasses.dataclass
class Curious(Rule):
    """Says nothing, and has the loss without the adapters computed at most steps, for rules to be tried on."""

    id = "X001"
    name = "curious"
    severity = Severity.INFO

    def check(self, record: StepRecord) -> None:
        self.wants = HARM if record.step < 24 or record.step % 4 == 3 else {}


@dataclasses.dataclass
class Asks(Rule):
    """Says nothing, and has the losses computed that LW104 would have."""

    id = "X002"
    name = "asks"
    severity = Severity.INFO

    asked: int = dataclasses.field(default=0, init=False)

    def check(self, record: StepRecord) -> None:
        due = (record.lr_fraction or 0.0) >= BarelyMoves.spent and record.first_step is not None
        self.wants = wanted_at_the_end(record) if due and self.asked < 2 * BATCHES else {}
        self.asked += due


class RecordingCallback(LoraWatchCallback):
    """Writes nothing to disk. Measures everything at every ``full_every``-th step."""

    def __init__(self, full_every: int = 1, rules: Sequence[Rule] = ()) -> None:
        super().__init__(fail_on="never", full_every=full_every, console=False, rules=rules)
        self.recorder = Recorder()

    def _sinks(self, *args: Any) -> list[Sink]:
        return [self.recorder]


@functools.cache
def data(base: str, task: str, long: bool = False) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """``(train, held_out)`` examples."""
    if base == "minilm":
        articles, classes = bbc_news()
        _, tokenizer = minilm(len(classes))
        train, held_out = texts.split(articles)
        return labelled(train[:600], tokenizer, 96), labelled(held_out[:120], tokenizer, 96)
    documents = texts.stdlib_text() if task == "python" else [text for text, _ in bbc_news()[0]]
    train, held_out = texts.split(documents)
    if base == "tiny":
        tokenizer, sizes, length = models.tiny_llama()[1], (6000, 128) if long else (1500, 64), 32 if long else 128
    else:
        tokenizer, sizes, length = smollm2()[1], (240, 24), 32
    return texts.blocks(train, tokenizer, sizes[0], length), texts.blocks(held_out, tokenizer, sizes[1], length)


def pretrained(base: str, task: str = "topics") -> Any:
    """A fresh pretrained model."""
    if base == "minilm":
        return minilm(CLASSES.get(task, CLASSES["topics"]))[0]
    return causal(base)[0]


def causal(base: str) -> tuple[Any, Any]:
    """``(model, tokenizer)`` of a causal language model."""
    if base in LARGER:
        return larger(base)
    return models.tiny_llama() if base == "tiny" else smollm2()


class InOrder(Trainer):
    """Takes the examples as they come."""

    def _get_train_sampler(self, *args: Any) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)  # type: ignore[arg-type]


def padded(examples: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
    """One batch of examples of different lengths."""
    most = max(len(example["input_ids"]) for example in examples)
    fill = {"input_ids": 0, "attention_mask": 0, "labels": -100}
    batch: dict[str, list[Any]] = {}
    for example in examples:
        own = {"attention_mask": [1] * len(example["input_ids"]), **example}
        for name, value in own.items():
            row = value + [fill[name]] * (most - len(value)) if isinstance(value, list) else value
            batch.setdefault(name, []).append(row)
    return {name: torch.tensor(rows) for name, rows in batch.items()}


@functools.cache
def documents_of(task: str) -> tuple[list[Any], list[Any]]:
    """``(train, held_out)`` documents of a text, or of a task of classes."""
    return texts.split(classified(task) if task in CLASSES else TEXTS[task]())


def _blocks(documents: Sequence[str], tokenizer: Any, most: int, length: int) -> list[dict[str, list[int]]]:
    """Blocks of ``length`` tokens, ``most`` of them where the text holds so many. Gemma's begin with ``<bos>``: without
    it the model starts at twice the loss, and a run learns that alone."""
    there = sum(len(text) // (8 * length) for text in documents)
    first = tokenizer("")["input_ids"]
    found = texts.blocks(documents, tokenizer, min(most, there), length - len(first))
    return [{name: [*first, *ids] for name, ids in block.items()} for block in found]


def everyday_data(spec: Spec) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """``(train, held_out)`` examples of the second grid; ``train`` is one epoch in the order of ``spec``."""
    tokenizer = causal(spec.base)[1] if spec.base != "minilm" else None
    total = spec.steps * spec.batch
    if tokenizer is None:
        train, held_out = documents_of(spec.task)
        random.Random(spec.seed).shuffle(train := list(train[:total]))
        some = (
            labelled(train, minilm(2)[1], spec.length),
            labelled(held_out[:120], minilm(2)[1], spec.length),
        )
        examples = list(itertools.islice(itertools.cycle(some[0]), total))
        if spec.order == "longest":
            examples.sort(key=lambda example: -sum(example["attention_mask"]))
        return examples, some[1]
    others = [task for task in TEXTS if task != spec.task]
    tasks = (spec.task, others[spec.seed % len(others)]) if spec.order == "domains" else (spec.task,)
    examples, held_out = [], []
    count = {"tiny": 48, "smollm2": 24}.get(spec.base, 12)
    for task in tasks:
        train, kept = documents_of(task)
        some = _blocks(train, tokenizer, total // len(tasks), spec.length)
        random.Random(spec.seed).shuffle(some)
        examples += some
        held_out += _blocks(kept, tokenizer, count // len(tasks), 64)
    examples = list(itertools.islice(itertools.cycle(examples), total))
    if spec.order == "longest":
        lengths = sorted((random.Random(i).randint(spec.length // 4, spec.length) for i in range(total)), reverse=True)
        examples = [{name: ids[:n] for name, ids in e.items()} for e, n in zip(examples, lengths)]
    elif spec.order == "easiest":
        losses = example_losses(pretrained(spec.base), examples)
        examples = [examples[i] for i in sorted(range(total), key=losses.__getitem__)]
    return examples, held_out


@torch.no_grad()
def example_losses(model: Any, examples: Sequence[Mapping[str, Any]]) -> list[float]:
    """The loss of each example under the pretrained model."""
    model.eval()
    out: list[float] = []
    for i in range(0, len(examples), 8):
        batch = padded(examples[i : i + 8])
        logits = model(input_ids=batch["input_ids"]).logits[:, :-1].transpose(1, 2)
        each = torch.nn.functional.cross_entropy(logits, batch["labels"][:, 1:], reduction="none")
        out += each.mean(1).tolist()
    return out


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
    examples, held_out = everyday_data(spec) if spec.everyday else data(spec.base, spec.task, spec.steps >= LONG)
    set_seed(spec.seed)
    model = pretrained(spec.base, spec.task).to(getattr(torch, spec.dtype))
    head = {"modules_to_save": ["classifier"]} if spec.base == "minilm" else {}
    lora = LoraConfig(
        r=spec.r,
        lora_alpha=spec.alpha,  # type: ignore[arg-type]
        use_rslora=spec.rslora,
        lora_dropout=spec.dropout,
        use_dora=spec.dora,
        target_modules=TARGETS[spec.targets]["encoder" if spec.base == "minilm" else "decoder"],
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
    trainer = (InOrder if spec.everyday else Trainer)(
        model=model,
        args=TrainingArguments(**settings),
        train_dataset=list(examples),  # type: ignore[arg-type]
        data_collator=padded if spec.everyday else None,
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


def trace(spec: Spec, full_every: int = 1) -> Trace:
    """Train ``spec`` under the recording callback."""
    asking = [Asks()] if spec.base in LARGER else [Curious(), Asks()]  # a pass of a larger model takes seconds
    callback = RecordingCallback(full_every, asking if spec.everyday else [])
    with tempfile.TemporaryDirectory() as folder:
        trainer, before, after = train(spec, folder, callback)
    logged = {entry["step"]: entry["grad_norm"] for entry in trainer.state.log_history if "grad_norm" in entry}
    grad_norm = torch.tensor([float(logged.get(step, math.nan)) for step in range(1, spec.steps + 1)]).double().numpy()
    return Trace(dataclasses.asdict(spec), before, after, grad_norm, callback.recorder.records)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", choices=("tiny", "minilm", "smollm2"), help="only runs of this model")
    parser.add_argument("--only", default="", help="only runs whose name holds this text")
    parser.add_argument("--pack", action="store_true", help="put the new traces into the files of their models")
    wanted = parser.parse_args()
    if wanted.pack:
        return pack()
    torch.set_num_threads(1)
    specs = [s for s in [*plan(), *extremes()] if wanted.base in (None, s.base) and wanted.only in s.name]
    train_missing(specs, trace, files())


def train_missing(specs: Sequence[Any], train: Callable[[Any], Trace], there: Iterable[Path], to: Path = NEW) -> None:
    """Train each of ``specs`` whose trace is not ``there``, one after another, and keep it in a file of its own."""
    known = {name for file in there for name in names(file)}
    missing = [spec for spec in specs if spec.name not in known]
    print(f"{len(specs)} runs, {len(specs) - len(missing)} of them are there")
    for i, spec in enumerate(missing, 1):
        began = time.perf_counter()
        done = train(spec)
        save(to / f"{spec.name}.zip", {spec.name: done})
        took = time.perf_counter() - began
        print(f"{i}/{len(missing)} {spec.name}: {done.before:.3f} → {done.after:.3f}, {took:.0f} s", flush=True)


def pack() -> None:
    """Merge the new traces into the files of their models."""
    new = {file: load(file) for file in NEW.glob("*.zip")}
    for base in {trace.spec["base"] for traces in new.values() for trace in traces.values()}:
        own = {name: t for traces in new.values() for name, t in traces.items() if t.spec["base"] == base}
        path = TRACES / f"{base}.zip"
        save(path, (load(path) if path.exists() else {}) | own)
    for file in new:
        file.unlink()


def plan() -> list[Spec]:
    """Every scored run of the corpus. The extremes are not scored: they only test the advice."""
    return [*grid(), *fresh(), *faults(FAULTS), *everyday(held_out=False), *everyday(held_out=True)]


def files() -> list[Path]:
    """All that hold traces."""
    return [*sorted(TRACES.glob("*.zip")), *sorted(NEW.glob("*.zip"))]


def load_all(specs: Iterable[Spec] | None = None) -> dict[Spec, Trace]:
    """The traces that are there of ``specs``, of the whole plan by default, by what they are runs of."""
    wanted = {spec.name: spec for spec in specs or plan()}
    found = {name: trace for file in files() for name, trace in load(file, wanted).items()}
    return {spec: found[name] for name, spec in wanted.items() if name in found}


if __name__ == "__main__":
    main()
