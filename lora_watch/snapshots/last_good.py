"""The adapter as it was when it was last found healthy: held in host memory, written down when it no longer is."""

import inspect
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lora_watch.adapters.sharding import takes_every_rank
from lora_watch.adapters.tensors import elements, sharded
from lora_watch.snapshots.copies import Copy, GoodCopies, take, why_not_copied

LARGEST_COPY = 1 << 30
"""Bytes of trained parameters up to which copies are kept."""


class LastGood:
    """Copies of a model's trained parameters, one of which is chosen when the run goes wrong.

    Only what is trained is copied; with LoRA these are the adapters and what is trained along with them (DoRA's
    magnitudes, ``modules_to_save``). ``why_unavailable`` says in words why nothing is kept; else it is None.
    ``evidence``: the longest of any rule, in steps.
    """

    def __init__(self, model: nn.Module, evidence: int):
        self._model: Any = what_can_save(model)
        self._trained: dict[str, Tensor] = {}
        self.copies = GoodCopies(lambda: self._trained, evidence)
        self._good: Copy | None = None
        self.saved: tuple[Path, int] | None = None
        """The folder that holds a good copy, and its step; None as long as none does."""
        self.why_unavailable: str | None = None

    def begin(self, step: int) -> None:
        """Look what is trained, after ``step``: when watching begins or the adapters have changed. Copies of what was
        trained before are kept while the names and shapes are the same. Those of step 0 count as good."""
        before = {n: p.shape for n, p in self._trained.items()}
        trained = {name: p for name, p in self._model.named_parameters() if p.requires_grad}
        self.why_unavailable = self._why_not(trained)
        self._trained = trained if self.why_unavailable is None else {}
        if {n: p.shape for n, p in self._trained.items()} != before:
            self.copies.clear()
            if step == 0 and self._trained:
                self.copies.start(0)

    @property
    def step(self) -> int | None:
        """The optimizer steps that the good copy has behind it; None while there is none."""
        return None if self._good is None else self._good.step

    def updated(self, step: int) -> None:
        """The parameters now have ``step`` steps behind them, and nothing is known to be wrong."""
        if self._trained:
            self.copies.updated(step)

    def take_now(self, step: int) -> None:
        """The parameters of now, after ``step``, are the good ones."""
        if self._trained:
            self._good = take(self._trained, step)

    def choose(self, step: int) -> None:
        """The run has gone wrong, after ``step`` as far as is known: take what was good then."""
        self._good = self.copies.before(step, lambda copy: all(bool(t.isfinite().all()) for t in copy.read().values()))

    def save(self, folder: Path) -> bool:
        """Write the good copy to ``folder``, as ``PeftModel.from_pretrained`` reads it. False if there is none.

        Raises what the model's ``save_pretrained`` raises, OSError above all; the folder is then as it was.
        """
        if self._good is not None and not (self.saved == (folder, self.step) and folder.is_dir()):
            self._write(folder, self._good.step, self._good.read())
        return self._good is not None

    def _why_not(self, trained: dict[str, Tensor]) -> str | None:
        if not hasattr(self._model, "save_pretrained"):
            return f"{type(self._model).__name__} has no save_pretrained"
        how = inspect.signature(self._model.save_pretrained).parameters
        if getattr(self._model, "peft_config", None) and "save_embedding_layers" not in how:
            return "transformers asks the Hub when it saves adapters of model.add_adapter: use peft.get_peft_model"
        if takes_every_rank(trained.values()):
            return "the trained parameters are spread over ranks (FSDP2, tensor parallelism, ZeRO-3)"
        if (why := why_not_copied(self._model, trained.values())) is not None:
            return why
        size = sum(elements(p) * p.element_size() for p in trained.values())
        if size > LARGEST_COPY:
            return f"{size / 2**30:.1f} GiB are trained, and no more than {LARGEST_COPY / 2**30:g} GiB are kept"
        return None

    def _write(self, folder: Path, step: int, trained: Mapping[str, Tensor]) -> None:
        """``trained`` in the place of what the model holds now."""
        part = folder.with_name(f"{folder.name}.part")
        # Of what is frozen and sharded PEFT may gather the wholes, for which all ranks would have to be here.
        others = {name: t for name, t in self._model.state_dict().items() if not sharded(t)}
        shutil.rmtree(part, ignore_errors=True)
        try:
            how: dict[str, Any] = {}
            if getattr(self._model, "peft_config", None):  # left to itself PEFT asks the Hub for the vocabulary's size
                how["save_embedding_layers"] = embeddings_have_changed(self._model)
            with _settings_unchanged(self._model):
                self._model.save_pretrained(part, state_dict={**others, **trained}, **how)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(part, folder)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        self.saved = folder, step


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
