"""The learning rate that a model, its data and its optimizer can take, found by a sweep of some 60 steps.

``sweep`` says which rate each step has, ``estimate`` what the curve means (both pure), ``suggestion`` holds the answer,
``drawing`` shows it; ``plain`` makes the steps with a step function. The Trainer's form is
``lora_watch.trainer.find_lr``.
"""

from __future__ import annotations

from lora_watch.tuning.lr_finder.suggestion import Suggestion
from lora_watch.tuning.lr_finder.sweep import Curve

__all__ = ["Curve", "Suggestion"]
