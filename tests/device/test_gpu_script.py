"""``benchmarks/gpu.py`` from beginning to end, but for the tests that it starts: those are run here anyhow."""

from __future__ import annotations

import re

import pytest

from benchmarks import gpu


def test_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    gpu.main(["--device", "strict", "--models", "toy", "--steps", "1", "--no-tests"])
    output = capsys.readouterr().out
    assert "dry run" in output
    assert re.search("weights .*bit for .*; norms .*float64", output)
    assert re.search("output_ratio .*definition", output)
    assert re.search(r"torch\.compile \(eager\): .*losses .*\b1 graph", output)


def test_it_finds_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    real = gpu.Monitor.step

    def step(self: gpu.Monitor, loss: torch.Tensor) -> object:
        loss.item()
        return real(self, loss=loss)

    monkeypatch.setattr(gpu.Monitor, "step", step)
    with pytest.raises(gpu.Surprise, match="device: item"):
        gpu.train(gpu.MODELS["toy"], torch.device("strict"), 1, "plain")
