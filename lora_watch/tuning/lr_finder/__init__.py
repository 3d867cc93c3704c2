"""The learning rate that a model, its data and its optimizer can take, found by a sweep of some 60 steps.

The Trainer's form is ``lora_watch.trainer.find_lr``.
"""

from __future__ import annotations

from lora_watch.tuning.lr_finder.suggestion import Suggestion
from lora_watch.tuning.lr_finder.sweep import Curve

__all__ = ["Curve", "Suggestion"]
