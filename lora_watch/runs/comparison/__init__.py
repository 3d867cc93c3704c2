"""Runs side by side, from the files they left: quality against rank or scale, norms, and what else was changed.

``compare(paths)`` finds and reads the runs as the gate does (neither torch nor transformers is imported), ``trials``
takes of each what is compared, ``curves`` lines them up and judges with the statistics of ``plateau``; ``text``
and ``figure`` show the outcome.
"""

from lora_watch.runs.comparison.comparing import Comparison, compare

__all__ = ["Comparison", "compare"]
