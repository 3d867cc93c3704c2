"""What rank a kind of task asks for."""

from __future__ import annotations

from dataclasses import dataclass

from lora_watch.base.text import meant

BIDERMAN = "Biderman et al. 2024, arXiv:2405.09673"


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
        "Aghajanyan et al. 2021, arXiv:2012.13255",
    ),
    Task(
        "domain-adaptation",
        (8, 16),
        "vocabulary and style change moderately",
        "rule of thumb; Hu et al. 2021, arXiv:2106.09685, found lower ranks enough on most of its tasks",
    ),
    Task(
        "instruction-tuning",
        (16, 64),
        "it changes many behaviours at once",
        f"rule of thumb; {BIDERMAN} compares such ranks",
    ),
    Task(
        "continued-pretraining",
        (64, 256),
        "new knowledge needs room: full fine-tuning changes weights at 10 to 100 times the rank of a usual adapter, "
        "and LoRA reaches less here; consider full fine-tuning",
        BIDERMAN,
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
    raise ValueError(f"task {name!r} is none of {', '.join(known)}{meant(plain, known)}")
