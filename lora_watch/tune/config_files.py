"""LoRA and training settings from files: JSON, YAML, and the folders that PEFT and the Trainer write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lora_watch.base.untrusted import load_json, load_yaml

LORA_FIELDS = frozenset(
    (
        *("r", "lora_alpha", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern", "init_lora_weights"),
        *("target_modules", "exclude_modules", "target_parameters", "layers_to_transform", "layers_pattern"),
        *("modules_to_save", "task_type", "peft_type", "fan_in_fan_out"),
        *("init_r", "target_r", "tinit", "tfinal", "deltaT", "total_step"),
    )
)
"""Fields of PEFT's LoraConfig and AdaLoraConfig that a judgement depends on."""
ARGUMENT_FIELDS = frozenset(
    ("learning_rate", "lr_scheduler_type", "warmup_steps", "warmup_ratio", "optim", "max_steps")
)
"""The same of TrainingArguments."""
ALIASES = {
    "lora_r": "r",
    "lora_rank": "r",
    "lora_target_modules": "target_modules",
    "peft_use_rslora": "use_rslora",
    "peft_use_dora": "use_dora",
    "optimizer": "optim",
    "lr_scheduler": "lr_scheduler_type",
}
"""What TRL, Axolotl and LLaMA-Factory call them in their configuration files."""
MODEL_FIELDS = ("model_name_or_path", "base_model")
"""What TRL and LLaMA-Factory, and Axolotl, call the pretrained model."""
PICKLE = "training_args.bin"


@dataclass
class Settings:
    """What the files say, with PEFT's and TrainingArguments' names for it."""

    lora: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)
    model: str | None = None
    """The pretrained model's name, or its folder."""
    notes: list[str] = field(default_factory=list)
    """What was there and not read."""


def read_settings(paths: Iterable[Path], allow_pickle: bool = False) -> Settings:
    """What all of ``paths`` say together; where two say the same, the later one counts.

    A path is a JSON or YAML file, or a folder with ``adapter_config.json`` or ``training_args.json``. A file holds the
    settings side by side, or in two sections, ``lora`` and ``arguments``; names that it needs for other things are
    passed over. With ``allow_pickle`` the Trainer's ``training_args.bin`` is read too, which runs code that is in it.

    Raises ValueError, which names the file, for one that cannot be read or holds no such setting.
    """
    out = Settings()
    for path in paths:
        for file in _files(path, allow_pickle, out.notes):
            _merge(out, file, _pickled(file, allow_pickle) if file.suffix == ".bin" else _plain(file))
    return out


def _files(path: Path, allow_pickle: bool, notes: list[str]) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = [file for name in ("adapter_config.json", "training_args.json") if (file := path / name).is_file()]
    pickle = path / PICKLE
    if pickle.is_file() and not (path / "training_args.json").is_file():
        if allow_pickle:
            found.append(pickle)
        else:
            notes.append(f"{pickle} was not read: {_WHY_NOT}")
    if not found:
        raise ValueError(f"{path}: no adapter_config.json and no training_args.json is there")
    return found


_WHY_NOT = (
    "it is a pickle, and reading it runs the code in it. Use --allow-pickle if you trust it, or write "
    "training_args.json with args.to_json_string()"
)


def _pickled(file: Path, allow_pickle: bool) -> Mapping[str, Any]:
    if not allow_pickle:
        raise ValueError(f"{file}: {_WHY_NOT}")
    import torch

    try:
        return vars(torch.load(file, map_location="cpu", weights_only=False))
    except Exception as error:  # whatever unpickling may do
        raise ValueError(f"{file}: not a readable training_args.bin: {error}") from None


def _plain(file: Path) -> Mapping[str, Any]:
    yaml = file.suffix in (".yaml", ".yml")
    try:
        content = load_yaml(file) if yaml else load_json(file)
    except OSError as error:
        raise ValueError(f"{file}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        hint = "" if yaml else "; a YAML file ends in .yaml"
        raise ValueError(f"{file}: not {'YAML' if yaml else 'JSON'}: {error}{hint}") from None
    if not isinstance(content, dict):
        held = "nothing" if content is None else f"a {type(content).__name__}"
        raise ValueError(f"{file}: holds {held}, and names with values are needed")
    return content


def _merge(out: Settings, file: Path, settings: Mapping[str, Any]) -> None:
    settings = _translated(settings)
    used = 0
    for name in MODEL_FIELDS:
        if isinstance(model := settings.get(name), str) and model:
            beside = file.parent / model
            out.model = str(beside) if not Path(model).exists() and beside.exists() else model
    for section, names, part in (("lora", LORA_FIELDS, out.lora), ("arguments", ARGUMENT_FIELDS, out.arguments)):
        within = settings.get(section)
        source = within if isinstance(within, dict) else settings
        for name, value in source.items():
            known = ALIASES.get(name, name)
            if known in names:
                part[known] = getattr(value, "value", value)  # enumerations of a pickle
                used += 1
    if not used:
        raise ValueError(f"{file}: holds neither LoRA nor training settings (r, lora_alpha, learning_rate …)")


def _translated(settings: Mapping[str, Any]) -> dict[str, Any]:
    """``settings`` with what other programs say otherwise, or take where nothing is said, in PEFT's words."""
    out = dict(settings)
    if out.get("lora_target_linear"):  # Axolotl
        out.setdefault("target_modules", "all-linear")
    if isinstance(target := out.get("lora_target"), str):  # LLaMA-Factory
        names = [name.strip() for name in target.split(",")]
        out.setdefault("target_modules", "all-linear" if names == ["all"] else names)
    defaults: dict[str, Any] = {}
    if out.get("use_peft"):  # TRL
        defaults = {"lora_r": 16, "lora_alpha": 32}
    elif out.get("finetuning_type") == "lora" or "lora_rank" in out:  # LLaMA-Factory
        rank = out.get("lora_rank") or 8
        defaults = {"lora_rank": rank} | ({"lora_alpha": 2 * rank} if isinstance(rank, int) else {})
    return {**defaults, **{name: value for name, value in out.items() if name not in defaults or value is not None}}
