"""What rank a kind of task asks for."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

SOURCES = {
    "lora": "Hu et al. 2021, arXiv:2106.09685",
    "intrinsic": "Aghajanyan et al. 2021, arXiv:2012.13255",
    "rslora": "Kalajdzievski 2023, arXiv:2312.03732",
    "adalora": "Zhang et al. 2023, arXiv:2303.10512",
    "dora": "Liu et al. 2024, arXiv:2402.09353",
    "biderman": "Biderman et al. 2024, arXiv:2405.09673",
}
"""Papers behind the advice."""


@dataclass(frozen=True)
class Task:
    """A kind of fine-tuning, and the ranks that are worth trying first for it."""

    name: str
    ranks: tuple[int, int]
    """Lowest and highest of the usual range. A place to start a search from, not a bound."""
    why: str
    source: str


TASKS = (
    Task(
        "classification",
        (4, 8),
        "its intrinsic dimension is very low: the pretrained model already knows the structure",
        SOURCES["intrinsic"],
    ),
    Task(
        "domain-adaptation",
        (8, 16),
        "vocabulary and style change moderately",
        f"rule of thumb; {SOURCES['lora']} found lower ranks enough on most of its tasks",
    ),
    Task(
        "instruction-tuning",
        (16, 64),
        "it changes many behaviours at once",
        f"rule of thumb; {SOURCES['biderman']} compares such ranks",
    ),
    Task(
        "continued-pretraining",
        (64, 256),
        "new knowledge needs room: full fine-tuning changes weights at 10 to 100 times the rank of a usual adapter, "
        "and LoRA reaches less here; consider full fine-tuning",
        SOURCES["biderman"],
    ),
)
"""From the lowest ranks to the highest."""


def find_task(name: str) -> Task:
    """The task of that name, in any case, with blanks or underscores for hyphens.

    Raises ValueError, which lists the names and says which one is nearest, for any other.
    """
    known = {task.name: task for task in TASKS}
    plain = "-".join(name.lower().replace("_", " ").replace("-", " ").split())
    if plain in known:
        return known[plain]
    near = difflib.get_close_matches(plain, known, n=1)
    hint = f" (is {near[0]} meant?)" if near else ""
    raise ValueError(f"task {name!r} is none of {', '.join(known)}{hint}")
