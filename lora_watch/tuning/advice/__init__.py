"""Settings before a run: what to start from, what carries over from another model, and whether a choice is sound."""

from lora_watch.tuning.advice.carry_over import Transfer, transfer
from lora_watch.tuning.advice.choice import Preflight, preflight
from lora_watch.tuning.advice.start import Advice, advise

__all__ = ["Advice", "Preflight", "Transfer", "advise", "preflight", "transfer"]
