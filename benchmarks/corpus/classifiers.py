"""Check LW104's threshold for new heads, which was chosen on MiniLM, on two language models as classifiers.

The rates go from those that waste a run to those that ruin it.

    python -m benchmarks.corpus.classifiers [--train]     # prints what came of it; with --train trains what is missing

The results are in ``classifiers.json``: 40 runs, 40 minutes of a core.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaForSequenceClassification, Trainer, TrainingArguments, set_seed

from benchmarks.corpus.generate import RecordingCallback
from benchmarks.corpus.labels import BAD, GOOD, gain
from benchmarks.corpus.markdown import table
from benchmarks.corpus.models import smollm2
from benchmarks.corpus.plan import TARGETS
from benchmarks.corpus.replay import projected_end
from benchmarks.corpus.tasks import CLASSES, classified, labelled
from lora_watch.demo import texts
from lora_watch.demo.models import tiny_llama
from lora_watch.demo.tasks import mean_loss
from lora_watch.rules import BarelyMoves

RESULTS = Path(__file__).with_name("classifiers.json")
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)


class Case(NamedTuple):
    base: str
    task: str
    targets: str
    lr: float


def cases() -> Iterator[Case]:
    for task in ("topics", "sports", "kinds"):
        yield from (Case("tiny", task, targets, lr) for targets in ("linear", "qv") for lr in RATES)
    for task in ("topics", "kinds"):
        yield from (Case("smollm2", task, "linear", lr) for lr in RATES)


def run(case: Case) -> dict[str, Any]:
    """The held-out loss before and after, and the size that LW104 projects."""
    steps, batch, length = (60, 8, 64) if case.base == "tiny" else (40, 4, 48)
    documents, held_out = texts.split(classified(case.task))
    random.Random(0).shuffle(documents)
    set_seed(0)
    language_model, tokenizer = (tiny_llama if case.base == "tiny" else smollm2)()
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    config = language_model.config
    config.num_labels, config.pad_token_id = CLASSES[case.task], 0
    model = LlamaForSequenceClassification(config).float()
    model.model.load_state_dict(language_model.model.state_dict())
    lora = LoraConfig(r=8, lora_alpha=16, target_modules=TARGETS[case.targets]["decoder"], task_type="SEQ_CLS")
    seen, kept = RecordingCallback(full_every=16), labelled(held_out[:60], tokenizer, length)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            max_steps=steps,
            learning_rate=case.lr,
            per_device_train_batch_size=batch,
            seed=0,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        train = labelled(documents[: steps * batch], tokenizer, length)
        trainer = Trainer(get_peft_model(model, lora), arguments, train_dataset=train, callbacks=[seen])  # type: ignore[arg-type]
        before = mean_loss(trainer.model, kept)
        trainer.train()
        after = mean_loss(trainer.model, kept)
    return {**case._asdict(), "before": before, "after": after, "end": projected_end(seen.recorder.records)}


def report(results: list[dict[str, Any]]) -> str:
    best: dict[tuple[str, str], float] = {}
    for each in results:
        family = each["base"], each["task"]
        best[family] = min(best.get(family, each["after"]), each["after"])
    rows, good, wasted = [], [], []
    for each in results:
        share = gain(each["before"], each["after"], best[each["base"], each["task"]])
        if share >= GOOD:
            good.append(each["end"])
        elif share < BAD and each["end"] < 2 * BarelyMoves.reach:
            wasted.append(each["end"])
        rows.append(
            [each["base"], each["task"], each["targets"], f"{each['lr']:g}", f"{each['end']:.2f}", f"{share:.2f}"]
        )
    said = (
        f"{len(good)} of {len(results)} runs are good; the least size of these is {min(good):.2f}. {len(wasted)} runs "
        f"with less than half of the best gain are below LW104's threshold of {2 * BarelyMoves.reach:g}."
    )
    titles = ["model", "task", "modules", "learning rate", "size at the end, projected", "gain"]
    return f"{table(titles, rows)}\n\n{said}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", action="store_true", help="train what is missing")
    torch.set_num_threads(1)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    if parser.parse_args().train:
        known = {tuple(each[name] for name in Case._fields) for each in results}
        for case in cases():
            if tuple(case) not in known:
                results.append(run(case))
                RESULTS.write_text(json.dumps(results, indent=0) + "\n")
    print(report(results))


if __name__ == "__main__":
    main()
