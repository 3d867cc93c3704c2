"""Settings before a run: what to start from, what carries over from another model, and whether a choice is sound."""

from lora_watch.advice.preflight import Preflight, preflight
from lora_watch.advice.start import Advice, advise
from lora_watch.advice.transfer import Transfer, transfer

__all__ = ["Advice", "Preflight", "Transfer", "advise", "preflight", "transfer"]
