"""A model without its weights: shapes and names, on no device, into which PEFT puts adapters at no cost."""

from __future__ import annotations

import copy
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lora_watch.adapters import Adapter
from lora_watch.adapters.peft_config import methods
from lora_watch.base.names import layer_index
from lora_watch.base.untrusted import load_json
from lora_watch.measurement.norms.base import frobenius_norm
from lora_watch.snapshots.weights import stored_weights, weight_of

MOST_CONFIG_BYTES = 4_000_000
"""Of a configuration: one with the names of 21,000 classes has 2 million. It is read again by transformers."""
TASK_TYPES = {
    "ForCausalLM": "CAUSAL_LM",
    "GPT2LMHeadModel": "CAUSAL_LM",
    "ForSequenceClassification": "SEQ_CLS",
    "ForTokenClassification": "TOKEN_CLS",
    "ForQuestionAnswering": "QUESTION_ANS",
    "ForConditionalGeneration": "SEQ_2_SEQ_LM",
}
"""How transformers ends the names of classes, and PEFT's ``task_type`` for them."""


@dataclass(frozen=True)
class Skeleton:
    """What is known of a model without running it."""

    name: str
    model: nn.Module
    """On torch's meta device: it has shapes and no numbers."""
    weights: Mapping[str, Tensor] | None
    """The frozen weights by name, read when asked for; None where there are none."""

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.model.parameters())

    @property
    def task_type(self) -> str | None:
        """PEFT's ``task_type`` for this class of model; None where its name tells nothing. None as well where the model
        reads no ``input_ids`` (Whisper): PEFT's class for the type would hand it some."""
        if getattr(self.model, "main_input_name", "input_ids") != "input_ids":
            return None
        name = type(self.model).__name__
        kind = next((kind for end, kind in TASK_TYPES.items() if name.endswith(end)), None)
        decoder_only = not getattr(getattr(self.model, "config", None), "is_encoder_decoder", True)
        return "CAUSAL_LM" if kind == "SEQ_2_SEQ_LM" and decoder_only else kind

    def settings_for(self, target_modules: str | Sequence[str]) -> dict[str, Any]:
        """Keyword arguments of ``LoraConfig``: these modules of this class of model."""
        targets = target_modules if isinstance(target_modules, str) else list(target_modules)
        return {"target_modules": targets} | ({"task_type": self.task_type} if self.task_type else {})

    def adapted(self, config: Mapping[str, Any]) -> nn.Module:
        """A copy into which PEFT has put the adapters of ``config``, still without numbers.

        ``config`` is what ``LoraConfig.to_dict()`` gives, or keyword arguments of it. Raises ValueError, with PEFT's
        own words, for a configuration that PEFT or this model does not take, and when PEFT is not installed.
        """
        try:
            import peft
        except ImportError:
            raise ValueError("PEFT says which layers it would adapt, and it is missing: pip install peft") from None
        settings = dict(config)
        kind = str(settings.pop("peft_type", "LORA")).rpartition(".")[2].upper()
        classes = {"LORA": peft.LoraConfig, "ADALORA": peft.AdaLoraConfig}
        if kind not in classes:
            raise ValueError(f"peft_type {kind} is not LoRA: known here are {', '.join(classes)}")
        known = {name: value for name, value in settings.items() if name in classes[kind].__dataclass_fields__}
        # What starts from the weights' own numbers cannot start from none; shapes and scales are the same.
        if isinstance(known.get("init_lora_weights"), str):
            known["init_lora_weights"] = True
        model = copy.deepcopy(self.model)
        try:
            with warnings.catch_warnings(), torch.device("meta"):
                warnings.simplefilter("ignore")  # PEFT's words on training, which nobody is about to do
                return peft.get_peft_model(model, classes[kind](**known))  # type: ignore[arg-type]
        except Exception as error:
            raise ValueError(f"PEFT does not take this configuration for {type(model).__name__}: {error}") from None

    def base_norms(self, adapters: Sequence[Adapter]) -> list[float]:
        """‖W₀‖_F under each adapter, NaN where it is unknown.

        The layers of the block in the middle are read and no other: their median first step was within 3 % of that of
        all layers on each of three pretrained models.
        """
        indices = sorted({i for a in adapters if (i := layer_index(a.name)) is not None})
        central = indices[len(indices) // 2] if indices else None
        read = (self.weight(a.name) if central is None or layer_index(a.name) == central else None for a in adapters)
        return [math.nan if weight is None else frobenius_norm(weight) for weight in read]

    def weight(self, module: str) -> Tensor | None:
        """The frozen weight of the layer ``module``; None where it is not there as a floating-point matrix."""
        if self.weights is None or (stored := weight_of(self.weights, module)) is None:
            return None
        weight = self.weights[stored].detach()
        return weight if weight.is_floating_point() and weight.ndim == 2 and not weight.is_meta else None


def local_model(name: str) -> Path | None:
    """The folder of the model ``name``: that folder, or its copy in the cache of Hugging Face's hub. Never asks the
    network. None where the model is not on this machine."""
    if Path(name).exists():
        return Path(name)
    from transformers.utils.hub import cached_file

    try:
        found = cached_file(name, "config.json", local_files_only=True)
    except (OSError, ValueError):  # not in the cache, or no name of a model
        return None
    return Path(found).parent if isinstance(found, str) else None


def skeleton(model: nn.Module | str | Path, *, classifies: bool = False) -> Skeleton:
    """``model`` without its weights: a loaded model, or a folder with a ``config.json`` (or that file).

    A loaded model is not changed, and its weights are not copied. From a folder nothing is executed, and its weights,
    where they are safetensors, are read only when they are asked for. The model is of the class that the configuration
    names; with ``classifies`` an encoder gets the head that it would be loaded with.

    Raises ValueError, which names the folder, when there is no model that transformers knows.
    """
    if isinstance(model, nn.Module):
        if methods(model):
            raise ValueError(f"{type(model).__name__} has adapters already; give the model without them")
        weights = {name: p for name, p in model.named_parameters(remove_duplicate=False) if not p.is_meta}
        name = getattr(getattr(model, "config", None), "_name_or_path", None)
        return Skeleton(str(name or type(model).__name__), _on_meta(model), weights or None)
    return _from_folder(Path(model), classifies)


def _on_meta(model: nn.Module) -> nn.Module:
    """A copy without numbers. The weights are never copied: the copy is told what stands in for each of them."""
    stand_ins: dict[int, Any] = {
        id(p): nn.Parameter(torch.empty_like(p, device="meta"), p.requires_grad) for p in model.parameters()
    }
    stand_ins |= {id(b): torch.empty_like(b, device="meta") for b in model.buffers()}
    return copy.deepcopy(model, stand_ins)


def _from_folder(path: Path, classifies: bool) -> Skeleton:
    folder = path.parent if path.name == "config.json" else path
    if not (folder / "config.json").is_file():
        on_the_hub = re.fullmatch(r"[\w.-]+/[\w.-]+", str(path)) and not path.exists()
        fetch = f"; nothing is fetched here: hf download {path} config.json --local-dir {path.name}"
        raise ValueError(
            f"{path}: no config.json is there; give the folder of a model (its config.json is enough, without weights)"
            f"{fetch if on_the_hub else ''}"
        )
    from transformers import AutoConfig

    try:
        content = load_json(folder / "config.json", MOST_CONFIG_BYTES)
        # The folder's own code is not run: trust_remote_code stays off.
        with warnings.catch_warnings(), torch.device("meta"):
            warnings.simplefilter("ignore")  # words on numbers, of which there are none
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            model = _maker(content, config, classifies)(config).to(_dtype(content))
        if empty := next((name for name, p in model.named_parameters() if p.numel() == 0), None):
            raise ValueError(f"{empty} would hold no number")
    except Exception as error:  # configurations fail in as many ways as there are models
        why = " ".join(str(error).partition("\n\n")[0].split())
        raise ValueError(f"{folder}: transformers cannot make a model of its config.json: {why}") from None
    return Skeleton(str(path), model, stored_weights(folder))


def _maker(content: Mapping[str, Any], config: Any, classifies: bool) -> Callable[[Any], nn.Module]:
    """What makes a model of ``config``: the class that the file names, with a classifier's head where one is wanted."""
    import transformers
    from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, AutoModel, AutoModelForSequenceClassification

    architecture = str(next(iter(content.get("architectures") or ()), ""))
    named = getattr(transformers, architecture, None)
    known = isinstance(named, type) and issubclass(named, transformers.PreTrainedModel)
    headed = known and architecture.endswith(tuple(TASK_TYPES))
    if classifies and not headed and type(config) in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        return AutoModelForSequenceClassification.from_config
    return named if known and named is not None else AutoModel.from_config


def _dtype(content: Mapping[str, Any]) -> torch.dtype:
    """The dtype that the weights were saved in; float32 where the configuration does not say."""
    dtype = getattr(torch, str(content.get("dtype") or content.get("torch_dtype")), None)
    return dtype if isinstance(dtype, torch.dtype) and dtype.is_floating_point else torch.float32
