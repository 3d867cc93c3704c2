"""Which runs the corpus holds: two grids of settings on three pretrained models, and faults put into healthy runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

SEEDS = (0, 1, 2)
HELD_OUT_SEED = 2
"""Runs with this seed are a third of every base's; no threshold is chosen on them, and scores count them alone."""
FRESH_SEED = 3
"""Runs with this seed were trained when every threshold stood, and count with the held-out ones."""
EVERYDAY_TUNING, EVERYDAY_HELD_OUT, EVERYDAY_LATER, EVERYDAY_FRESH = (10, 11), (12, 13, 14), (15, 16), (17, 18)
EVERYDAY_LAST, EVERYDAY_NEWEST = (19, 20), (21, 22)
"""Seeds of the second grid; ``everyday.SEEN`` says what came after which."""
EVERYDAY_TURNS = (
    *(EVERYDAY_HELD_OUT, EVERYDAY_HELD_OUT),
    *(EVERYDAY_LATER, EVERYDAY_FRESH, EVERYDAY_LAST, EVERYDAY_NEWEST),
)
"""Those of the held-out runs, turn by turn."""
TARGETS = {
    "v": {"decoder": ["v_proj"], "encoder": ["value"]},
    "qv": {"decoder": ["q_proj", "v_proj"], "encoder": ["query", "value"]},
    "attention": {"decoder": ["q_proj", "k_proj", "v_proj", "o_proj"]},
    "mlp": {"decoder": ["gate_proj", "up_proj", "down_proj"]},
    "linear": {"decoder": "all-linear", "encoder": ["query", "key", "value", "dense"]},
}
"""The adapted modules, as PEFT takes them, of each kind of model."""
RATES = (
    (1e-4, 2e-3, 5e-3, 1e-2, 5e-2),
    (1e-3, 3e-3, 1e-2, 5e-2),
    (5e-4, 1e-3, 2e-3, 5e-3, 5e-2),
    (2e-4, 1e-3, 5e-3, 1e-2, 5e-2),
    (2e-4, 5e-4, 2e-3, 5e-3, 2e-2),
    (3e-4, 1e-3, 2e-3, 5e-3, 3e-2),
)
"""Learning rates of the second grid on the tiny model, turn by turn."""
WEAK_TO_STRONG = (1e-5, 2e-4, 5e-4, 1e-3, 3e-3, 1e-2)
SOME_RATES = (2e-4, 1e-3, 1e-2)
LARGER_CELLS: dict[str, list[tuple[dict[str, Any], Sequence[float]]]] = {
    "gemma3": [
        ({}, (*WEAK_TO_STRONG, 5e-5, 3e-2)),
        ({"scale": 8.0}, (5e-5, *WEAK_TO_STRONG[1:])),
        ({"targets": "qv"}, WEAK_TO_STRONG),
        ({"targets": "qv", "scale": 8.0}, (1e-3, 3e-3)),
        ({"rslora": True, "scale": 16 / math.sqrt(8)}, SOME_RATES),
        ({"dora": True}, SOME_RATES),
        ({"r": 1, "scale": 16.0}, SOME_RATES),
        ({"r": 64, "scale": 0.25}, SOME_RATES),
    ],
    "qwen": [
        ({}, WEAK_TO_STRONG),
        ({"scale": 8.0}, (2e-4, 1e-3, 3e-3)),
        ({"targets": "qv"}, (1e-3, 3e-3, 1e-2)),
    ],
}
"""Settings of the larger models' runs on both texts, each with its learning rates."""
LARGER_ON_CODE: dict[str, list[tuple[dict[str, Any], Sequence[float]]]] = {
    "gemma3": [({"batch": 4}, SOME_RATES), ({"dtype": "bfloat16"}, SOME_RATES)],
    "qwen": [
        ({"batch": 4}, SOME_RATES),
        ({"dtype": "bfloat16"}, (1e-3,)),
        ({"rslora": True, "scale": 16 / math.sqrt(8)}, (1e-3,)),
        ({"dora": True}, (1e-3,)),
        ({"r": 1, "scale": 16.0}, (1e-3,)),
        ({"r": 64, "scale": 0.25}, (1e-3,)),
    ],
    "qwen1.5b": [({}, (5e-4, 1e-2, 1e-3, 1e-5, 2e-4, 3e-3)), ({"scale": 8.0}, (3e-3,))],
}
"""The same on one text alone. The last model is kept for the check: nothing was ever chosen on it."""
ORDERS = ("shuffled", "longest", "easiest", "domains")
"""Longest examples first; those of the lowest loss of the pretrained model first; one text after another."""
LONG = 500
"""From this many steps on a run has a larger data set, of shorter blocks, and is monitored as live runs are."""


@dataclass(frozen=True)
class Spec:
    """One run. The defaults are a sound configuration of the tiny model."""

    base: str = "tiny"
    """``tiny``, ``minilm`` or ``smollm2``, the demo's pretrained models; or one of ``models.LARGER``."""
    task: str = "python"
    """``python``: the standard library's sources. ``news``: BBC articles, as prose or, for the encoder, as classes."""
    r: int = 8
    scale: float = 2.0
    """The layer's factor, whatever the formula: alpha follows from it."""
    rslora: bool = False
    lr: float = 2e-3
    steps: int = 50
    batch: int = 16
    schedule: str = "linear"
    warm_up: int = 0
    optimizer: str = "adamw_torch"
    weight_decay: float = 0.0
    plus: float = 1.0
    """LoRA+: how many times as high B's learning rate is."""
    targets: str = "linear"
    """The modules that are adapted, one of ``TARGETS``."""
    length: int = 0
    """Tokens of an example; 0: what the model's runs had before other lengths were tried."""
    order: str = "shuffled"
    """The order of the data, one of ``ORDERS``."""
    dropout: float = 0.0
    dora: bool = False
    dtype: str = "float32"
    """Of the base model's weights."""
    seed: int = 0
    fault: str = ""
    """Name of a fault of ``faults.py``; empty for a run of the grid."""
    fault_step: int = 0

    @property
    def alpha(self) -> float:
        return self.scale * (math.sqrt(self.r) if self.rslora else self.r)

    @property
    def name(self) -> str:
        """Unique in the corpus, and a file name."""
        parts = [self.base, self.task, f"r{self.r}", f"s{self.scale:g}" + "rs" * self.rslora, f"lr{self.lr:g}"]
        parts += [f"b{self.batch}", f"{self.schedule}{self.warm_up or ''}"]
        if self.optimizer != "adamw_torch" or self.weight_decay:
            parts.append(f"{self.optimizer}{self.weight_decay or ''}")
        if self.length:
            parts.append(f"t{self.length}")
        if self.targets != "linear":
            parts.append(self.targets)
        if self.order != "shuffled":
            parts.append(self.order)
        parts += ["dora"] * self.dora
        if self.dtype != "float32":
            parts.append(self.dtype)
        if self.dropout:
            parts.append(f"dropout{self.dropout:g}")
        if self.plus != 1:
            parts.append(f"plus{self.plus:g}")
        if self.fault:
            parts.append(f"{self.fault}@{self.fault_step}")
        return "_".join([*parts, f"seed{self.seed}"])

    @property
    def family(self) -> tuple[object, ...]:
        """Runs that compete for the best result: the same model, task, data, modules and kind of optimizer."""
        adaptive = "sgd" if self.optimizer == "sgd" else "adaptive"
        data = self.steps * self.batch, self.length, self.order
        return self.base, self.task, *data, self.targets, adaptive

    @property
    def everyday(self) -> bool:
        """A run of the second grid: other modules, batches and orders of the data than the first has."""
        return self.length > 0

    @property
    def held_out(self) -> bool:
        return self.seed in (HELD_OUT_SEED, FRESH_SEED, *itertools.chain(*EVERYDAY_TURNS))


def grid() -> Iterator[Spec]:
    """Every run without a fault, seed by seed."""
    for seed in SEEDS:
        yield from _tiny(seed)
        yield from _minilm(seed)
        yield from _smollm2(seed)


def fresh() -> Iterator[Spec]:
    """The grid once more, with a seed that came after every threshold. Trained in part."""
    yield from _tiny(FRESH_SEED)
    yield from _minilm(FRESH_SEED)
    yield from _smollm2(FRESH_SEED)


def everyday(held_out: bool) -> Iterator[Spec]:
    """The second grid: modules × batches × lengths × orders of the data × texts, each at rates from wasted to ruinous.

    Every pair of modules and batch size occurs; the rest is dealt out in turn. The texts "news" and "headers" occur in
    held-out runs alone. The third turn has the rates that people set most.
    """
    tasks = ("news", "python", "headers", "manual") if held_out else ("python", "manual")
    i = 0
    turns = EVERYDAY_TURNS if held_out else (EVERYDAY_TUNING,)
    for turn, seeds in enumerate(turns):
        for targets in TARGETS:
            for batch, steps in ((1, 150), (2, 150), (4, 100), (8, 50), (32, 25)):
                i += 1
                rslora, r = (i % 7 == 3), (8, 8, 16, 4, 8, 64)[i % 6]
                settings = Spec(
                    task=tasks[(i + turn) % len(tasks)],
                    r=r,
                    scale=2.0 if not rslora else 16 / math.sqrt(r),
                    rslora=rslora,
                    steps=steps,
                    batch=batch,
                    length=_length(batch, i + turn),
                    order=ORDERS[(i // 2 + turn) % 4],
                    targets=targets,
                    schedule=("linear", "cosine", "linear", "constant")[(i // 3) % 4],
                    warm_up=(0, 0, round(0.03 * steps), round(0.1 * steps))[(i + turn) % 4],
                    weight_decay=0.01 * (i % 5 == 1),
                    dropout=0.05 * (i % 5 == 2),
                    dora=i % 12 == 5,
                    seed=seeds[i % len(seeds)],
                )
                for lr in RATES[turn]:
                    yield replace(settings, lr=lr)
                if i % 4 == 0:
                    yield replace(settings, scale=16.0, rslora=False, lr=1e-2)
        yield from _everyday_minilm(turn, seeds, held_out)
        if turn < 2:
            yield from _everyday_smollm2(turn, seeds, held_out)


def _length(batch: int, i: int) -> int:
    return 64 if batch > 8 else (64, 128)[i % 2] if batch > 2 else (64, 128, 64, 256)[i % 4]


def _everyday_minilm(turn: int, seeds: tuple[int, ...], held_out: bool) -> Iterator[Spec]:
    tasks = ("topics", "kinds", "politics") if held_out else ("topics", "sports")
    for i, (targets, batch, steps) in enumerate(
        (("qv", 2, 60), ("linear", 4, 40), ("qv", 8, 30), ("v", 4, 40), ("qv", 32, 12))[: 5 if held_out else 3]
    ):
        for lr in (1e-5, 1e-3, 3e-3, 1e-2, 5e-2):
            yield Spec(
                "minilm",
                tasks[(i + turn) % len(tasks)],
                lr=lr,
                steps=steps,
                batch=batch,
                length=64,
                order=ORDERS[(i + turn) % 2],
                targets=targets,
                seed=seeds[(i + turn) % len(seeds)],
            )


def _everyday_smollm2(turn: int, seeds: tuple[int, ...], held_out: bool) -> Iterator[Spec]:
    tasks = ("python", "headers", "news") if held_out else ("manual", "python")
    for i, (targets, batch, steps) in enumerate((("qv", 2, 36), ("v", 2, 36), ("linear", 1, 40))):
        for lr in (1e-5, 5e-4, 2e-3, 3e-2):
            yield Spec(
                "smollm2",
                tasks[(i + turn) % len(tasks)],
                lr=lr,
                steps=steps,
                batch=batch,
                length=64,
                order=ORDERS[(2 * i + turn) % 3],
                targets=targets,
                warm_up=(0, 2)[i % 2],
                seed=seeds[(i + turn) % len(seeds)],
            )


def larger() -> Iterator[Spec]:
    """Gemma 3 270M and Qwen2.5-Coder. They are scored on their own: see ``larger.py``."""
    for tasks, cells in ((("python", "news"), LARGER_CELLS), (("python",), LARGER_ON_CODE)):
        for base, task in itertools.product(cells, tasks):
            for settings, rates in cells[base]:
                for lr in rates:
                    yield Spec(base, task, lr=lr, **{"steps": 24, "batch": 2, "length": 64, **settings})


def extremes() -> Iterator[Spec]:
    """Runs that fail beyond doubt, in ways that the grid has not. They test whether the advice fixes them."""
    for optimizer, scale, lr, plus in (
        ("adamw_torch", 128.0, 0.1, 1.0),
        ("adamw_torch", 2.0, 0.5, 1.0),
        ("adamw_torch", 32.0, 0.05, 1.0),
        ("adafactor", 32.0, 0.05, 1.0),
        ("sgd", 128.0, 0.1, 1.0),
        ("sgd", 2.0, 50.0, 1.0),
        ("adamw_torch", 2.0, 0.05, 16.0),
        ("adamw_torch", 32.0, 5e-3, 16.0),
        ("adamw_torch", 64.0, 2e-3, 1.0),
        ("adamw_torch", 128.0, 0.5, 1.0),
        ("adafactor", 2.0, 0.5, 1.0),
        ("sgd", 32.0, 0.5, 1.0),
    ):
        yield Spec(optimizer=optimizer, scale=scale, lr=lr, plus=plus, seed=HELD_OUT_SEED)
    yield Spec("minilm", "news", scale=32.0, lr=0.05, steps=40, batch=8, seed=HELD_OUT_SEED)


def long() -> Iterator[Spec]:
    """Ordinary runs of 1,500 steps with seeds of their own, every second one with a fault after a thousand sound steps.

    The restarts are four cosines; learning rates fall with the batch, as people set them. Three of four adapt q_proj
    and v_proj alone, PEFT's default.
    """
    for i, (task, batch, schedule, r, scale, lr, fault) in enumerate(
        (
            ("python", 1, "constant", 8, 2.0, 5e-4, ""),
            ("news", 8, "constant", 8, 2.0, 2e-3, "corrupted-batches"),
            ("python", 2, "cosine", 16, 2.0, 1e-3, ""),
            ("news", 4, "cosine_with_restarts", 8, 1.0, 1e-3, "nan-gradient"),
            ("python", 4, "cosine_with_restarts", 16, 1.0, 1e-3, ""),
            ("news", 2, "cosine", 8, 2.0, 1e-3, "lr-x30"),
            ("python", 8, "cosine", 8, 2.0, 2e-3, ""),
            ("news", 1, "constant", 16, 1.0, 5e-4, "cut-graph-late"),
            ("news", 1, "cosine", 8, 2.0, 5e-4, ""),
            ("python", 8, "cosine_with_restarts", 8, 2.0, 2e-3, "lr-x100"),
            ("news", 2, "cosine_with_restarts", 8, 4.0, 5e-4, ""),
            ("python", 4, "cosine", 32, 1.0, 1e-3, "decay-eats"),
            ("news", 4, "constant", 8, 2.0, 1e-3, ""),
            ("python", 2, "constant", 8, 2.0, 1e-3, "nan-in-base-weight"),
            ("news", 8, "cosine_with_restarts", 32, 1.0, 2e-3, ""),
            ("python", 1, "cosine_with_restarts", 8, 2.0, 5e-4, "corrupted-batches"),
        )
    ):
        yield Spec(
            task=task,
            batch=batch,
            schedule=schedule,
            warm_up=50 if schedule == "cosine" else 0,
            r=r,
            scale=scale,
            lr=lr,
            steps=1500,
            seed=101 + i,
            targets="qv" if i % 4 else "linear",
            fault=fault,
            fault_step=1000 + 23 * i if fault else 0,
        )


def faults(names: Iterable[str]) -> Iterator[Spec]:
    """A sound run of the tiny model with each of these faults, seed by seed, the held-out one first."""
    for seed in sorted(SEEDS, key=lambda seed: seed != HELD_OUT_SEED):
        for name in names:
            yield Spec(steps=40, seed=seed, fault=name, fault_step=22 + seed)


def _tiny(seed: int) -> Iterator[Spec]:
    for scale, rates in (
        (0.5, (1e-4, 2e-3)),
        (1.0, (2e-3, 1e-2)),
        (2.0, (1e-5, 1e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 3e-2)),
        (4.0, (1e-3, 3e-3, 1e-2, 3e-2)),
        (16.0, (5e-4, 3e-3, 1e-2, 3e-2)),
    ):
        for lr in rates:
            yield Spec(scale=scale, lr=lr, seed=seed)
    for r, scale, rslora, lr in (
        (32, 2.0, False, 5e-4),
        (32, 2.0, False, 2e-3),
        (32, 2.0, False, 1e-2),
        (32, 0.5, False, 1e-4),
        (32, 0.5, False, 3e-3),
        (32, 2.8, True, 2e-3),
        (32, 2.8, True, 1e-2),
        (64, 2.0, True, 1e-3),
        (2, 8.0, False, 2e-3),
        (2, 2.0, False, 5e-3),
    ):
        yield Spec(r=r, scale=scale, rslora=rslora, lr=lr, seed=seed)
    for schedule, warm_up, scale, lr in (
        ("constant", 0, 2.0, 2e-3),
        ("constant", 0, 2.0, 1e-2),
        ("cosine", 10, 2.0, 2e-3),
        ("linear", 10, 4.0, 1e-2),
    ):
        yield Spec(schedule=schedule, warm_up=warm_up, scale=scale, lr=lr, seed=seed)
    for batch, steps, cells in (
        (1, 120, ((2.0, 2e-3), (2.0, 5e-4), (2.0, 1e-5), (16.0, 1e-2))),
        (4, 60, ((2.0, 2e-3), (4.0, 1e-3), (4.0, 3e-2), (2.0, 1e-5))),
        (32, 25, ((2.0, 2e-3), (4.0, 3e-3), (16.0, 1e-2))),
    ):
        for scale, lr in cells:
            yield Spec(batch=batch, steps=steps, scale=scale, lr=lr, seed=seed)
    yield Spec(weight_decay=0.1, seed=seed)
    for optimizer, scale, lr in (
        ("adafactor", 2.0, 2e-3),
        ("adafactor", 16.0, 1e-2),
        ("sgd", 2.0, 0.3),
        ("sgd", 2.0, 1.0),
        ("sgd", 4.0, 3.0),
        ("sgd", 2.0, 1e-3),
    ):
        yield Spec(optimizer=optimizer, scale=scale, lr=lr, seed=seed)
    for scale, lr in ((2.0, 2e-3), (2.0, 5e-4), (4.0, 1e-2), (16.0, 1e-2), (2.0, 1e-5), (16.0, 3e-2)):
        yield Spec(task="news", scale=scale, lr=lr, seed=seed)


def _minilm(seed: int) -> Iterator[Spec]:
    for r, scale, rslora, schedule, lr in (
        (8, 2.0, False, "linear", 1e-3),
        (8, 2.0, False, "linear", 3e-4),
        (8, 4.0, False, "linear", 3e-3),
        (8, 16.0, False, "linear", 1e-3),
        (8, 16.0, False, "linear", 3e-3),
        (8, 4.0, False, "linear", 1e-2),
        (8, 4.0, False, "linear", 3e-2),
        (8, 2.0, False, "linear", 1e-5),
        (8, 2.0, False, "linear", 1e-4),
        (32, 2.0, False, "linear", 1e-3),
        (8, 2.0, False, "constant", 1e-3),
        (32, 2.8, True, "linear", 1e-3),
    ):
        yield Spec("minilm", "news", r, scale, rslora, lr, steps=40, batch=8, schedule=schedule, seed=seed)


def _smollm2(seed: int) -> Iterator[Spec]:
    for task, cells in (
        ("python", ((2.0, 5e-4), (4.0, 3e-3), (16.0, 3e-3), (4.0, 1e-2), (16.0, 1e-2), (2.0, 1e-5), (2.0, 1e-4))),
        ("news", ((2.0, 5e-4), (4.0, 3e-3), (16.0, 1e-2))),
    ):
        for scale, lr in cells:
            yield Spec("smollm2", task, scale=scale, lr=lr, steps=25, batch=4, seed=seed)
