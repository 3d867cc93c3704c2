"""Means that rescue a run: ``recover``, and others that users have."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch
from transformers import TrainerCallback

from lora_watch import LoraWatchCallback
from lora_watch.snapshots.copies import Copy, Learned, take


class Halve(TrainerCallback):
    """Roll back and halve, by a moving average, as loss watchdogs do that go on.

    A loss that is not finite, or above 1.5 times the mean of the last 20, takes the run back to its last copy. The
    callback takes one each 10 steps. It halves the learning rate for the rest of the run.
    """

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.kept: Copy | None = None
        self.recoveries: list[list[Any]] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, optimizer: Any = None, **_: Any) -> None:
        self.learned = Learned(optimizer)
        self.kept = take(self.learned.content(), 0)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if "loss" not in (logs or {}) or self.kept is None:
            return
        loss, mean = float(logs["loss"]), statistics.fmean(self.losses[-20:]) if len(self.losses) > 4 else math.inf
        # The Trainer's filter hides a NaN of the loss, but not that of the gradient's norm.
        if not math.isfinite(loss + float(logs.get("grad_norm", 0.0))) or loss > 1.5 * mean:
            self.learned.put_back(self.kept)
            for group in kwargs["optimizer"].param_groups:
                group["lr"] *= 0.5
                group["initial_lr"] *= 0.5
            kwargs["lr_scheduler"].base_lrs = [0.5 * rate for rate in kwargs["lr_scheduler"].base_lrs]
            self.recoveries.append(["moving average", state.global_step, state.global_step - self.kept.step, {}])
            return
        self.losses.append(loss)
        if state.global_step % 10 == 0:
            self.kept = take(self.learned.content(), state.global_step)


class ZClip(TrainerCallback):
    """Kumar et al. 2025: the gradient is scaled down where its norm is an outlier, z > 2.5. In place of clipping."""

    arguments: ClassVar = {"max_grad_norm": 0.0}

    def __init__(self) -> None:
        self.first: list[float] = []
        self.mean, self.variance = 0.0, 0.0

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        norm = float(torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in grads])))
        if len(self.first) < 25:
            self.first.append(norm)
            self.mean, self.variance = statistics.fmean(self.first), statistics.pvariance(self.first)
            return
        sd = math.sqrt(self.variance)
        z, clipped = (norm - self.mean) / (sd + 1e-6), norm
        if z > 2.5:
            clipped = self.mean + 2.5 * sd / (z / 2.5)
            for grad in grads:
                grad.mul_(clipped / norm)
        self.mean = 0.97 * self.mean + 0.03 * clipped
        away = clipped - self.mean
        self.variance = 0.97 * self.variance + 0.03 * away * away


OURS, UNTOUCHED, HALVE, ZCLIP = "recover=3", "untouched", "halve", "ZClip"
ARMS: dict[str, Callable[[], TrainerCallback | None]] = {
    OURS: lambda: LoraWatchCallback(recover=3, console=False, tensorboard=False),
    UNTOUCHED: lambda: None,
    HALVE: Halve,
    ZCLIP: ZClip,
}


def recoveries(callback: TrainerCallback | None, folder: str) -> list[list[Any]]:
    """``[why, step, steps lost, changed, updates dropped]`` of each roll-back (the last one where it is known)."""
    report = Path(folder, "lora_watch", "report.json")
    if not report.exists():
        return getattr(callback, "recoveries", [])
    entries = json.loads(report.read_text(encoding="utf-8"))["recoveries"]
    return [[r["rule"], r["step"], r["lost"], r["changed"], r["dropped"]] for r in entries]
