"""The quantiles over adapters that stand among the plain scalars, and that the tab draws."""

import numpy as np

from lora_watch.base.records import FloatArray

QUANTILES = {"max": 1.0, "p90": 0.9, "median": 0.5, "p10": 0.1}


def quantiles(rows: FloatArray) -> FloatArray:
    """``[m, len(QUANTILES)]`` of ``rows`` ``[m, n]``, linear between neighbours and NaN ignored. A row without a number
    gives NaN. Infinity counts as the large number it stands for."""
    ordered = np.sort(rows, axis=1)  # NaN goes to the end
    last = np.maximum(np.count_nonzero(~np.isnan(rows), axis=1) - 1, 0)
    position = last[:, None] * np.array(list(QUANTILES.values()))
    below = np.floor(position).astype(int)
    each = np.arange(len(rows))[:, None]
    low, high = ordered[each, below], ordered[each, np.ceil(position).astype(int)]
    with np.errstate(invalid="ignore"):  # inf - inf, replaced in the next line
        between = low + (high - low) * (position - below)
    return np.where(low == high, low, between)
