"""A model whose modules have hostile names: what it leaves and says is inert in every face, from training to CI."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from typer.testing import CliRunner

from lora_watch import LoraWatchError, Monitor
from lora_watch.cli.app import app
from tests.fuzz.test_readers import inert
from tests.support import updates

NAMES = ["a\x1b[31mred", "b\n::error::pwned", "c\u202etxt.exe", "<img src=x onerror=1>", "[bold]x[/]", "##[error]e"]
NAMES = [name.replace(".", "_") for name in NAMES]  # torch takes no dot in a name


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        for name in NAMES:
            self.add_module(name, nn.Linear(8, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self._modules.values():
            x = x + layer(x)
        return x


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("named")


def test_while_it_trains(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model: Any = get_peft_model(Net(), LoraConfig(r=2, lora_alpha=64, target_modules=NAMES))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1.0)
    x = torch.randn(16, 8)
    monitor = Monitor(model, optimizer, output_dir=folder, fail_on="error")
    with pytest.raises(LoraWatchError) as ended, monitor:
        updates(monitor, optimizer, (model(x).square().mean() for _ in range(10)))
    printed = capsys.readouterr().err.splitlines()
    inert([*printed, *str(ended.value).splitlines()])
    assert any("[31mred" in line for line in printed), "it is told, as one line"


def test_when_its_files_are_read(folder: Path) -> None:
    for words in (["inspect", folder / "lora_watch/last_good"], ["check", folder], ["compare", folder, "--json"]):
        inert(CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False).output.splitlines())
