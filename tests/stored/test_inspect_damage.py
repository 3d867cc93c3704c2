"""`lora-watch inspect` on files that are no adapter, or a damaged one."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoHaConfig, get_peft_model
from safetensors.torch import save_file

from tests.stored.saving import Q, command, random_lora, rewrite
from tests.support import tiny_model


def configure(folder: Path, **changes: Any) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no configuration": (lambda f: (f / "adapter_config.json").unlink(), "adapter_config.json: not there"),
    "broken configuration": (lambda f: (f / "adapter_config.json").write_text("{"), "as JSON"),
    "no weights": (lambda f: (f / "adapter_model.safetensors").unlink(), "adapter_model.safetensors is"),
    "cut": (lambda f: os.truncate(f / "adapter_model.safetensors", 1000), "readable safetensors"),
    "not pulled": (lambda f: (f / "adapter_model.safetensors").write_text(LFS_POINTER), "git lfs pull"),
    "no B": (lambda f: rewrite(f, lambda c: c.pop(f"{Q}B.weight")), "has no lora_B"),
    "a shard": (lambda f: rewrite(f, lambda c: c.update({f"{Q}A.weight": torch.ones(7)})), "gather"),
    "sizes": (lambda f: rewrite(f, lambda c: c.update({f"{Q}B.weight": torch.ones(128, 5)})), "not multiply"),
    "rank": (lambda f: configure(f, r=9), "belong together"),
    "pattern": (lambda f: configure(f, alpha_pattern={"(": 3}), "regular expression"),
    "method": (lambda f: configure(f, peft_type="LOHA"), "peft_type is LOHA"),
    "not AdaLoRA's": (lambda f: configure(f, peft_type="ADALORA", init_r=8), "has no lora_E"),
    "a variant": (lambda f: configure(f, use_qalora=True), "use_qalora, and only LoRA"),
    "a pickle": (lambda f: (f / "adapter_model.safetensors").rename(f / "adapter_model.bin"), "is a pickle"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_one_line(damage: str, tmp_path: Path) -> None:
    random_lora().save_pretrained(tmp_path)
    harm, says = DAMAGES[damage]
    harm(tmp_path)
    shown = command(tmp_path)
    assert shown.exit_code == 2
    assert says in shown.stderr
    assert shown.stderr.count("\n") == 1


def test_a_name_cannot_move_the_cursor(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 1, "lora_alpha": 1}))
    names = [f"base_model.model.\x1b[2Jq.lora_{part}.weight" for part in "AB"]
    save_file({names[0]: torch.ones(1, 3), names[1]: torch.ones(3, 1)}, tmp_path / "adapter_model.safetensors")
    shown = command(tmp_path)
    assert shown.exit_code == 0
    assert "\x1b" not in shown.output
    assert "\\x1b[2Jq" in shown.output


def test_another_method_saved_by_peft(tmp_path: Path) -> None:
    get_peft_model(tiny_model(), LoHaConfig(target_modules=["q_proj"])).save_pretrained(tmp_path)
    shown = command(tmp_path)
    assert (shown.exit_code, shown.stderr.count("\n")) == (2, 1)
    assert "lora_watch.measure(model)" in shown.stderr


def test_a_folder_of_checkpoints_names_them(tmp_path: Path) -> None:
    model = random_lora(targets=["q_proj"])
    for step in (5, 10):
        model.save_pretrained(tmp_path / f"checkpoint-{step}")
    assert f"give {tmp_path / 'checkpoint-5'} or {tmp_path / 'checkpoint-10'}\n" in command(tmp_path).stderr


def test_a_path_that_is_no_adapter(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "train.py").touch()
    # Not what happens to lie beside it.
    assert f"{tmp_path / 'none'}: no such" in command(tmp_path / "none").stderr
    assert re.search(r"train\.py: .*save_pretrained", command(tmp_path / "train.py").stderr)
    assert command(saved / "adapter_config.json").output == command(saved).output
