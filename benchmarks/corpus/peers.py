"""Other monitors' rules for a failing run, from their published definitions, on the trace of a run.

Each function takes a whole ``Trace`` and gives the steps (1-based, rising) at which its rule would raise, stop, flag or
clip. The run goes on afterwards as if nobody had listened. Defaults are the peers' own. So is the treatment of NaN,
faults included: a comparison with NaN is False, and a NaN that joins a running mean spoils it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Trace:
    """A run as its log shows it: one float64 number an optimizer step, all ``[n_steps]``."""

    loss: FloatArray
    """Mean training loss of the step, NaN kept."""
    grad_norm: FloatArray
    """Global norm of the gradient before clipping; NaN where there is none."""
    lr: FloatArray
    """Learning rate of the first parameter group as used by the step."""


def kill_loss_spike(trace: Trace) -> list[int]:
    """llm-foundry's ``KillLossSpike``: more than 4 outliers in a row, or a loss that stays high.

    The window holds the last max(100, 5 % of the run) losses, outliers included. The rule begins with the step after
    the window is full. An outlier is a loss ≥ 2 × the window's mean; the fifth in a row and each one after it flags.
    Otherwise, from twice the window's length on, at least half a window above the cap flags. The cap is the largest
    loss of the first window, at most 10. (This is the documented cap. The code compares the number of steps done with
    the window's length when the first is already larger. So its cap stays at 10.)

    Source: mosaicml/llm-foundry, llmfoundry/callbacks/kill_loss_spike_callback.py at 8c8dd48 (July 2025).
    """
    size = max(100, round(0.05 * len(trace.loss)))
    window: deque[float] = deque(maxlen=size)
    outliers, cap, flagged = 0, 10.0, []
    for step, loss in enumerate(trace.loss.tolist(), start=1):
        if len(window) == size:
            if step == size + 1:
                cap = min(max(window), cap)
            outliers = outliers + 1 if loss >= 2.0 * (sum(window) / size) else 0
            high = step >= 2 * size and sum(past > cap for past in window) >= size / 2
            if outliers > 4 or high:
                flagged.append(step)
        window.append(loss)
    return flagged


def loss_watchdog(trace: Trace) -> list[int]:
    """Axolotl's ``LossWatchDogCallback``: 3 logged losses in a row above a fixed threshold stop the run.

    The threshold has no default; the documentation advises about twice the loss at the start, which is used here. The
    callback runs at the end of a step, before the Trainer logs it, and so reads the log of the step before. With a log
    a step, the best case, it is one step late. In the Trainer's log a non-finite loss is 0.0
    (``logging_nan_inf_filter``, on by default). A 0.0 ends a row as a NaN would.

    Source: axolotl-ai-cloud/axolotl, src/axolotl/utils/callbacks/__init__.py and utils/schemas/config.py at 067b021
    (July 2026).
    """
    if not len(trace.loss):
        return []
    logged = np.where(np.isfinite(trace.loss), trace.loss, 0.0).tolist()
    violations, flagged = 0, []
    for step, loss in enumerate(logged[:-1], start=2):
        violations = violations + 1 if loss > 2.0 * logged[0] else 0
        if violations >= 3:
            flagged.append(step)
    return flagged


def stability_monitor(trace: Trace) -> list[int]:
    """OLMo-core's ``StabilityMonitorCallback``: loss or gradient norm above mean + 6 σ of its last 128 values.

    σ is the population's. The rule is silent before 128 values are there, and where σ < 1e-10. Every value joins the
    history, spikes included. The monitor reports a rate; a step counts as flagged when it would raise that rate.

    Source: allenai/OLMo-core, src/olmo_core/train/callbacks/stability_monitor.py at fa6c501 (June 2026).
    """
    return sorted({*_above_six_sigma(trace.loss), *_above_six_sigma(trace.grad_norm)})


def _above_six_sigma(values: FloatArray, size: int = 128) -> list[int]:
    flagged = []
    for i in range(size, len(values)):
        history = values[i - size : i]
        mean, sd = history.mean(), history.std()
        if sd >= 1e-10 and values[i] > mean + 6.0 * sd:
            flagged.append(i + 1)
    return flagged


def spike_detection(trace: Trace) -> list[int]:
    """Lightning's ``SpikeDetection``: a loss that rose to 3 × the mean of the last 10, or is not finite.

    With ``window=10, warmup=1, atol=None, rtol=2.0, finite_only=True``: the rule skips the first step. A loss no higher
    than the one before it is never a spike; otherwise |loss − mean| ≥ 2·|mean| is one. A spike raises and joins
    neither the mean nor "the one before it". The running mean leaves NaN out (torchmetrics' ``nan_strategy``).

    Source: Lightning-AI/pytorch-lightning, src/lightning/fabric/utilities/spike.py at 0c94c0e.
    """
    window: deque[float] = deque(maxlen=10)
    last, flagged = 0.0, []
    for step, loss in enumerate(trace.loss.tolist(), start=1):
        mean = sum(window) / len(window) if window else math.nan
        if step > 1 and (not math.isfinite(loss) or (loss > last and abs(loss - mean) >= abs(2.0 * mean))):
            flagged.append(step)
            continue
        last = loss
        if not math.isnan(loss):
            window.append(loss)
    return flagged


def zclip(trace: Trace) -> list[int]:
    """ZClip as a detector: the steps whose gradient norm it would clip for being an outlier, z > 2.5.

    Mean and variance (population) start from the first 25 norms. After that z = (g − mean)/(sd + 1e-6). Both follow the
    clipped norm exponentially (α = .97, the variance around the mean already moved). The clipped norm is g, or
    mean + 2.5·sd/(z/2.5) where z > 2.5. ZClip also clips at the constant ``max_grad_norm``; that is ordinary clipping
    and not counted.

    Source: Kumar et al. 2025, "ZClip: Adaptive Spike Mitigation for LLM Pre-Training", arXiv 2504.02507;
    bluorion-com/ZClip, zclip/zclip.py at 584ce4f (October 2025), ``mode="zscore", clip_option="adaptive_scaling"``.
    """
    warm_up, limit, alpha = 25, 2.5, 0.97
    if len(trace.grad_norm) < warm_up:
        return []
    start = trace.grad_norm[:warm_up]
    mean, variance, flagged = float(start.mean()), float(start.var()), []
    for step, norm in enumerate(trace.grad_norm[warm_up:].tolist(), start=warm_up + 1):
        sd = math.sqrt(variance)
        z = (norm - mean) / (sd + 1e-6)
        if z > limit:
            flagged.append(step)
            norm = mean + limit * sd / (z / limit)
        mean = alpha * mean + (1.0 - alpha) * norm
        away = norm - mean
        variance = alpha * variance + (1.0 - alpha) * away * away  # ** would raise where this overflows
    return flagged


def grad_norm_limit(trace: Trace, limit: float = 10.0) -> list[int]:
    """The home-made check: a gradient norm above 10, which is ten times ``max_grad_norm``'s default, or not finite.

    No package publishes this rule. 10 is the most frequent absolute threshold of training scripts that have one. A step
    without a gradient norm in the middle of a run counts as not finite. A trace without any gradient norm never flags.
    """
    if not np.isfinite(trace.grad_norm).any():
        return []
    return (np.flatnonzero(~(trace.grad_norm <= limit)) + 1).tolist()


PEERS: dict[str, Callable[[Trace], list[int]]] = {
    "llm-foundry KillLossSpike": kill_loss_spike,
    "Axolotl loss watchdog": loss_watchdog,
    "OLMo-core StabilityMonitor": stability_monitor,
    "Lightning SpikeDetection": spike_detection,
    "ZClip, z > 2.5": zclip,
    "gradient norm > 10": grad_norm_limit,
}
"""By the name for the table."""
