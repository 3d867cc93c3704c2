"""The gate: judges finished or interrupted runs from their files alone. Imports neither torch nor transformers."""

from lora_watch.gate.judging import Judged, Judgement, judge

__all__ = ["Judged", "Judgement", "judge"]
