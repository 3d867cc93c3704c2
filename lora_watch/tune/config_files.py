"""LoRA and training settings from files: what PEFT and the Trainer write, and the YAML of TRL's command line."""

import dataclasses
import difflib
import importlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lora_watch.base.text import meant
from lora_watch.base.untrusted import load_json, load_yaml

LORA_FIELDS = frozenset(
    (
        *("r", "lora_alpha", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern", "init_lora_weights"),
        *("target_modules", "exclude_modules", "target_parameters", "layers_to_transform", "layers_pattern"),
        *("modules_to_save", "task_type", "peft_type", "fan_in_fan_out"),
    )
)
"""Fields of PEFT's LoraConfig that a judgement depends on."""
ARGUMENT_FIELDS = frozenset(
    (
        *("learning_rate", "lr_scheduler_type", "warmup_steps", "warmup_ratio", "weight_decay", "optim", "max_steps"),
        *("beta", "loss_type", "num_generations", "max_completion_length"),
    )
)
"""The same of TrainingArguments, and of TRL's for preferences and policies."""
CHOICES = {"lr_scheduler_type": "SchedulerType", "optim": "OptimizerNames"}
"""Arguments of which transformers knows a few values, and its class of them."""
USUAL = (None, "linear", "cosine", "constant", "adamw_torch", "adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit")
"""Values for which transformers need not be asked."""
OF_TRL = {f"lora_{name}": name for name in ("r", "target_modules", "target_parameters", "modules_to_save", "task_type")}
"""What TRL's ModelConfig calls them."""
DEFAULTS_OF_TRL = {"r": 16, "lora_alpha": 32}
MODEL, OF_ADAPTER = "model_name_or_path", "base_model_name_or_path"
"""What TRL calls the pretrained model."""
CLASSES = {"peft": "(Ada)?LoraConfig", "transformers": "TrainingArguments", "trl": ".*(Config|Arguments)"}
"""By library, the names of the classes whose fields are known: a regular expression."""
_READ = LORA_FIELDS | ARGUMENT_FIELDS | {*OF_TRL, MODEL, "use_peft", "env"}


@dataclass
class Settings:
    """What the files say, with PEFT's and TrainingArguments' names for it."""

    lora: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)
    model: str | None = None
    """The pretrained model's name, or its folder."""
    rate_from: Path | None = None
    """The file whose learning rate counts."""
    of_trl: Path | None = None
    """The latest file with TRL's own names, which are of use under ``use_peft`` alone."""
    use_peft: bool = False


def read_settings(paths: Iterable[Path]) -> Settings:
    """What all of ``paths`` say together; where two say the same, the later one counts.

    A path is a JSON or YAML file, or a folder with ``adapter_config.json`` or ``training_args.json``.

    Raises ValueError, which names the file, for one that cannot be read, that holds no such setting, or that has a key
    which neither PEFT nor the Trainer nor TRL knows.
    """
    out = Settings()
    for path in paths:
        for file in _files(path):
            _merge(out, file, _plain(file))
    if out.of_trl is not None and not out.use_peft:
        raise ValueError(f"{out.of_trl}: without use_peft: true TRL trains the whole model, and no adapter")
    return out


def _unknown(names: Iterable[str]) -> str:
    """Of ``names`` those that no field of PEFT's, the Trainer's or TRL's configurations has, each with the nearest."""
    unknown, known = set(names) - _READ, set(_READ)
    for library, classes in CLASSES.items():  # importing them takes seconds: only where there is a question
        if unknown:
            known |= _names_in(library, classes)
            unknown -= known
    close, names = difflib.get_close_matches, sorted(unknown)
    # Of the names that are judged, where one is near: lora_r for lora_rank, not local_rank.
    near = [close(name, sorted(_READ), 1, 0.75) or close(name, sorted(known), 1, 0.0) for name in names]
    return "; ".join(f"{name!r}: the nearest is {meant!r}" for name, (meant,) in zip(names, near))


def _names_in(library: str, classes: str) -> set[str]:
    """Fields of its dataclasses, and values of its enums; empty where the library is not installed."""
    try:
        module = importlib.import_module(library)
    except ImportError:
        return set()
    found = [getattr(module, name) for name in dir(module) if re.fullmatch(classes, name)]
    fields = {each.name for kind in found if dataclasses.is_dataclass(kind) for each in dataclasses.fields(kind)}
    return fields | {each.value for kind in found for each in getattr(kind, "__members__", {}).values()}


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = [file for name in ("adapter_config.json", "training_args.json") if (file := path / name).is_file()]
    if not found:
        raise ValueError(
            f"{path}: no adapter_config.json and no training_args.json is there (args.to_json_string() writes it)"
        )
    return found


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
        raise ValueError(f"{file}: holds no names with values (learning_rate: 2e-4 …)")
    return content


def _merge(out: Settings, file: Path, settings: Mapping[str, Any]) -> None:
    if unknown := _unknown(map(str, settings)):
        raise ValueError(f"{file}: unknown to LoraConfig, TrainingArguments and TRL: {unknown}")
    if settings.keys() & OF_TRL.keys():
        out.of_trl = file
    for name in ("use_peft", "use_rslora", "use_dora"):
        if settings.get(name) not in (None, True, False):
            raise ValueError(f"{file}: {name} is {settings[name]!r}: true or false is needed")
    for name, kind in CHOICES.items():
        known = _names_in("transformers.training_args", kind) if (value := settings.get(name)) not in USUAL else ()
        if known and value not in known:
            raise ValueError(f"{file}: {name} is {value!r}{meant(str(value), known)}, which transformers does not know")
    settings = {OF_TRL.get(name, name): value for name, value in settings.items()}
    out.use_peft = bool(settings.get("use_peft", out.use_peft))
    if settings.get("use_peft"):
        settings |= {name: value for name, value in DEFAULTS_OF_TRL.items() if settings.get(name) is None}
    if isinstance(model := settings.get(MODEL) or settings.get(OF_ADAPTER), str) and model:
        out.model = model
    if not settings.keys() & (LORA_FIELDS | ARGUMENT_FIELDS):
        raise ValueError(f"{file}: holds neither LoRA nor training settings (r, lora_alpha, learning_rate …)")
    out.rate_from = file if settings.get("learning_rate") is not None else out.rate_from
    out.lora |= {name: value for name, value in settings.items() if name in LORA_FIELDS}
    out.arguments |= {name: value for name, value in settings.items() if name in ARGUMENT_FIELDS}
