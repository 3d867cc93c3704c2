"""Measures the figures of docs/guidance.md on small models: AdaLoRA, rsLoRA, model sizes and kinds of task.

    python -m benchmarks.guidance

The script takes a quarter of an hour of one core, SmolLM2 a third of it. It goes on where it was stopped.
guidance.json keeps every run's held-out loss.
"""

from __future__ import annotations

import functools
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from peft import AdaLoraConfig, LoraConfig, get_peft_model

from benchmarks.corpus.generate import data, pretrained, train
from benchmarks.corpus.plan import Spec
from lora_watch.demo.tasks import batches, mean_loss

RESULTS = Path(__file__).with_name("guidance.json")
BATCH, STEPS, SEEDS = 4, 40, (0, 1)
TASKS = {
    "classes": "MiniLM sorts articles",
    "domain": "the Llama learns Python",
    "by heart": "the Llama learns by rote",
}
RANKS = (2, 8, 32)


@functools.cache
def examples(task: str) -> tuple[list[Any], list[Any]]:
    """``(train, held out)``. The task "by heart" has no held-out examples: its own stand for them."""
    if task == "classes":
        found, held_out = data("minilm", "news")
    else:
        found, held_out = data("tiny", "python")
    if task == "by heart":
        return list(found[:24]), list(found[:24])
    return list(found), list(held_out)


def training(
    task: str,
    config: Mapping[str, Any],
    lr: float,
    seed: int = 0,
    steps: int = STEPS,
    kind: type[Any] = LoraConfig,
) -> tuple[Any, Iterator[float]]:
    """The adapted model, and its training with AdamW and linear decay, which gives each step's CPU time in ms."""
    torch.manual_seed(seed)
    learned = examples(task)[0]
    minilm = task == "classes"
    targets = ["query", "key", "value", "dense"] if minilm else "all-linear"
    rest = {"task_type": "SEQ_CLS", "modules_to_save": ["classifier"]} if minilm else {"task_type": "CAUSAL_LM"}
    base = pretrained("minilm" if minilm else "tiny")
    model: Any = get_peft_model(base, kind(**{"target_modules": targets, **rest, **config})).train()
    order = [i for _ in range(1 + steps * BATCH // len(learned)) for i in torch.randperm(len(learned)).tolist()]

    def run() -> Iterator[float]:
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr, weight_decay=0.0)
        for step, batch in enumerate(batches([learned[i] for i in order[: steps * BATCH]], BATCH)):
            began = time.process_time()
            for group in optimizer.param_groups:
                group["lr"] = lr * (1 - step / steps)
            model(**batch).loss.backward()
            optimizer.step()
            if kind is AdaLoraConfig:
                model.base_model.update_and_allocate(step)
            optimizer.zero_grad()
            yield 1e3 * (time.process_time() - began)

    return model, run()


def trained(task: str, *settings: Any, **more: Any) -> dict[str, float]:
    """The loss before and after ``training``."""
    model, steps = training(task, *settings, **more)
    judged, inner = examples(task)[1], model.base_model.model  # AdaLoRA adds a penalty to the outer one's loss
    before = mean_loss(inner, judged)
    for _ in steps:
        pass
    return {"before": before, "after": mean_loss(inner, judged)}


def times() -> dict[str, float]:
    """CPU time of the median step in ms, of LoRA and AdaLoRA that take turns."""
    runs = {
        "lora r8": training("domain", {"r": 8, "lora_alpha": 16}, 3e-3)[1],
        "lora r12": training("domain", {"r": 12, "lora_alpha": 24}, 3e-3)[1],
        "adalora": training("domain", adalora(STEPS), 3e-3, kind=AdaLoraConfig)[1],
    }
    taken = list(zip(*runs.values()))
    return {name: statistics.median(column) for name, column in zip(runs, zip(*taken))}


# -- what is run -------------------------------------------------------------------------------------------------------
def adalora(steps: int) -> dict[str, Any]:
    """Ranks of 12 that are cut to 8 on average, within the schedule that AdaLoRA's authors advise."""
    schedule = {"tinit": steps // 10, "tfinal": steps // 3, "deltaT": 2, "total_step": steps}
    return {"init_r": 12, "target_r": 8, "lora_alpha": 24, **schedule}


def everything() -> Iterator[tuple[str, Callable[[], dict[str, float]]]]:
    """The name of each run, and what makes it; all of one seed before the next."""
    yield "times", times
    for seed in SEEDS:
        for name, run in _of(seed):
            yield f"{name} seed{seed}", functools.partial(run, seed=seed)


def _of(seed: int) -> Iterator[tuple[str, Callable[..., dict[str, float]]]]:
    """Of the cheapest questions first."""
    for lr, (formula, rslora) in itertools.product((5e-4, 2e-3, 1e-2), (("plain", False), ("rslora", True))):
        lora = {"r": 64, "lora_alpha": 128, "use_rslora": rslora}
        yield f"{formula} r64 lr{lr:g}", functools.partial(trained, "domain", lora, lr)
    for lr in (3e-3, 1e-2, 3e-2):
        yield f"domain r8 lr{lr:g}", functools.partial(trained, "domain", {"r": 8, "lora_alpha": 16}, lr)
        yield f"adalora lr{lr:g}", functools.partial(trained, "domain", adalora(STEPS), lr, kind=AdaLoraConfig)
    for r, task, lr in itertools.product((2, 32, 8), ("by heart", "domain"), (3e-3, 1e-2, 3e-2)):
        yield f"{task} r{r} lr{lr:g}", functools.partial(trained, task, {"r": r, "lora_alpha": 2 * r}, lr)
    for base, r, scale, lr in TRANSFERRED:
        yield f"{base} r{r} s{scale:g} lr{lr:g}", functools.partial(transferred, base, r, scale, lr)
    for lr, r in itertools.product((5e-4, 1.5e-3, 5e-3, 1.5e-2), RANKS):
        lora = {"r": r, "lora_alpha": 2 * r}
        yield f"classes r{r} lr{lr:g}", functools.partial(trained, "classes", lora, lr, steps=30)

    for name, r, targets in MODULES:
        lora = {"r": r, "lora_alpha": 2 * r, "target_modules": targets}
        for lr in (3e-3, 1e-2, 3e-2):
            yield f"{name} r{r} lr{lr:g}", functools.partial(trained, "domain", lora, lr)
    for alpha in (4, 16, 64, 256):  # the scale times the rate stays
        yield f"product alpha{alpha}", functools.partial(trained, "domain", {"r": 8, "lora_alpha": alpha}, 0.16 / alpha)


ATTENTION, MLP = ["q_proj", "k_proj", "v_proj", "o_proj"], ["gate_proj", "up_proj", "down_proj"]
MODULES = (("attention", 17, ATTENTION), ("mlp", 12, MLP), ("both", 7, ATTENTION + MLP))
"""Name, rank, and what is adapted: as many trained numbers in each, to within 1 %."""
TRANSFERRED = (
    ("tiny", 4, 2.0, 5e-4),
    ("tiny", 8, 2.0, 5e-4),
    ("smollm2", 8, 4.0, 3e-3),
    ("smollm2", 16, 4.0, 3e-3),
)
"""Good settings of the other model: with its rank, and with that rank times or by √(ratio of hidden sizes), 2.1."""


def transferred(base: str, r: int, scale: float, lr: float, seed: int) -> dict[str, float]:
    """A run of the corpus's own kind."""
    small: dict[str, Any] = {"steps": 25, "batch": 4} if base == "smollm2" else {}
    with tempfile.TemporaryDirectory() as folder:
        _, before, after = train(Spec(base, r=r, scale=scale, lr=lr, seed=seed, **small), folder)
    return {"before": before, "after": after}


# -- what it says ------------------------------------------------------------------------------------------------------
def load() -> dict[str, dict[str, float]]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def mean_of(found: Mapping[str, Mapping[str, float]], name: str, what: str = "after") -> float:
    """Over the seeds of the runs called ``name``."""
    return statistics.fmean(found[key][what] for seed in SEEDS if (key := f"{name} seed{seed}") in found)


def best(found: Mapping[str, Mapping[str, float]], name: str) -> tuple[float, str]:
    """``(loss, rate)``: of the runs called ``name`` the rate with the lowest mean over seeds."""
    rates = {key.split()[-2] for key in found if key.startswith(f"{name} lr")}
    return min((mean_of(found, f"{name} {rate}"), rate.removeprefix("lr")) for rate in rates)


def main() -> None:
    torch.set_num_threads(1)
    found = load()
    for name, run in everything():
        if name in found:
            continue
        found[name] = run()
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
        print(name, {key: round(value, 3) for key, value in found[name].items()}, flush=True)


if __name__ == "__main__":
    main()
