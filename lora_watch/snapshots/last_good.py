"""Writing down the adapter as it was when it was last found healthy, from copies of what is trained."""

import inspect
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from lora_watch.adapters.sharding import takes_every_rank
from lora_watch.adapters.tensors import elements, sharded
from lora_watch.snapshots.copies import why_not_copied

LARGEST_COPY = 1 << 30
"""Bytes of trained parameters up to which copies are kept."""


def why_not_kept(model: Any, trained: Mapping[str, Tensor]) -> str | None:
    """Why copies of the ``trained`` parameters of ``model`` are not kept, in words; None where they are."""
    if not hasattr(model, "save_pretrained"):
        return f"{type(model).__name__} has no save_pretrained"
    how = inspect.signature(model.save_pretrained).parameters
    if getattr(model, "peft_config", None) and "save_embedding_layers" not in how:
        return "transformers asks the Hub when it saves adapters of model.add_adapter: use peft.get_peft_model"
    if takes_every_rank(trained.values()):
        return "the trained parameters are spread over ranks (FSDP2, tensor parallelism, ZeRO-3)"
    if (why := why_not_copied(model, trained.values())) is not None:
        return why
    size = sum(elements(p) * p.element_size() for p in trained.values())
    if size > LARGEST_COPY:
        return f"{size / 2**30:.1f} GiB are trained, and no more than {LARGEST_COPY / 2**30:g} GiB are kept"
    return None


def write_adapter(model: Any, trained: Mapping[str, Tensor], folder: Path, about: str = "") -> None:
    """Save ``model`` in ``folder``, as ``PeftModel.from_pretrained`` reads it, with ``trained`` in the place of what it
    holds now, and ``about`` as its README, where PEFT has an empty form.

    Raises what the model's ``save_pretrained`` raises, OSError above all; the folder is then as it was.
    """
    part = folder.with_name(f"{folder.name}.part")
    # Of what is frozen and sharded PEFT may gather the wholes, for which all ranks would have to be here.
    others = {name: t for name, t in model.state_dict().items() if not sharded(t)}
    shutil.rmtree(part, ignore_errors=True)
    try:
        how: dict[str, Any] = {}
        if getattr(model, "peft_config", None):  # left to itself PEFT asks the Hub for the vocabulary's size
            how["save_embedding_layers"] = embeddings_have_changed(model)
        with _settings_unchanged(model):
            model.save_pretrained(part, state_dict={**others, **trained}, **how)
        (part / "README.md").write_text(about, encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(part, folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def what_can_save(model: Any) -> Any:
    """The model inside the wrappers of ``torch.compile`` and of data parallelism."""
    model = getattr(model, "_orig_mod", model)
    return model if hasattr(model, "save_pretrained") else getattr(model, "module", model)


@contextmanager
def _settings_unchanged(model: Any) -> Iterator[None]:
    """PEFT changes its settings while it saves, AdaLoRA's ranks by name for good: training goes on with its own."""
    configs = list((getattr(model, "peft_config", None) or {}).values())
    before = [dict(vars(config)) for config in configs]
    try:
        yield
    finally:
        for config, fields in zip(configs, before):
            vars(config).clear()
            vars(config).update(fields)


def embeddings_have_changed(model: Any) -> bool:
    """They carry an adapter, or are trained without a copy of PEFT's own."""
    for get in ("get_input_embeddings", "get_output_embeddings"):
        layer = getattr(model, get, lambda: None)()
        weight = getattr(layer, "weight", None)
        trained = weight is not None and weight.requires_grad and not hasattr(layer, "original_module")
        if hasattr(layer, "base_layer") or trained:
            return True
    return False
