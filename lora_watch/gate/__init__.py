"""The gate: judges finished or interrupted runs from their files alone. Imports neither torch nor transformers.

``judge(paths)`` finds the runs (``places``), reads them (``reading``, ``events``), says what is wrong (``judging``,
``baseline``, ``story``), and the modules under ``formats`` write it down for people and for CI services.
"""

from lora_watch.gate.judging import Judged, Judgement, judge

__all__ = ["Judged", "Judgement", "judge"]
