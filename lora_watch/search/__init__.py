"""Finding the rank and the scale: a plan, run on an Optuna study until its curve is flat.

Names are imported on first use: a plan needs neither torch nor Optuna.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lora_watch.base.lazy import lazily

__all__ = ["Attempt", "Configuration", "LoraSpace", "Outcome", "Plan", "SearchCallback", "SearchResult", "search"]

if TYPE_CHECKING:
    from lora_watch.search.deciding import Outcome
    from lora_watch.search.driver import Attempt, search
    from lora_watch.search.plan import Configuration, Plan
    from lora_watch.search.result import SearchResult
    from lora_watch.search.trainer import LoraSpace, SearchCallback

__getattr__ = lazily(
    __name__,
    {
        "deciding": ("Outcome",),
        "driver": ("Attempt", "search"),
        "plan": ("Configuration", "Plan"),
        "result": ("SearchResult",),
        "trainer": ("LoraSpace", "SearchCallback"),
    },
)
