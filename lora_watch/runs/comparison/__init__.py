"""Runs side by side, from the files they left: quality against rank or scale, norms, and what else was changed."""

from lora_watch.runs.comparison.comparing import Comparison, compare

__all__ = ["Comparison", "compare"]
