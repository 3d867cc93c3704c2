"""The adapter as it was when it was last found healthy: held in host memory, written down when it no longer is."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lora_watch.adapters.sharding import takes_every_rank
from lora_watch.adapters.tensors import elements, sharded
from lora_watch.snapshots.copies import Copies, Copy, why_not_copied

LARGEST_SHARE_OF_TIME = 0.002
"""Copies are so far apart that making them takes no more of the training time than this."""
CONFIRMED_AFTER = 5
"""Steps that must follow a copy without an error before it counts as good."""
LARGEST_COPY = 1 << 30
"""Bytes of trained parameters up to which copies are kept."""


class LastGood:
    """Copies of a model's trained parameters, the latest of which was made at a healthy step.

    A copy counts once the run has been healthy for ``CONFIRMED_AFTER`` more steps. An alert whose rule gathers evidence
    for longer takes back to the copy before: so far apart are they that it is older than ``evidence``. Only what is
    trained is copied; with LoRA these are the adapters and what is trained along with them (DoRA's magnitudes,
    ``modules_to_save``). ``why_unavailable`` says in words why nothing is kept; else it is None. ``evidence``: the
    longest of any rule, in steps.
    """

    def __init__(self, model: nn.Module, evidence: int = CONFIRMED_AFTER):
        self._model: Any = what_can_save(model)
        self._apart = evidence - CONFIRMED_AFTER
        """Steps between two copies, at least."""
        self._trained: dict[str, Tensor] = {}
        self._copies = Copies(lambda: self._trained)
        self._good: list[Copy] = []
        """The good one, and before it the one that was good until then."""
        self._new: Copy | None = None
        self._due = 0.0  # time.perf_counter()
        self._saved: tuple[Path, int] | None = None
        self.why_unavailable: str | None = None

    def begin(self) -> None:
        """Look what is trained, and make room for the copies: when watching begins or the adapters have changed. A copy
        of what was trained before is kept only while the names and shapes are the same."""
        before = {n: p.shape for n, p in self._trained.items()}
        trained = {name: p for name, p in self._model.named_parameters() if p.requires_grad}
        self.why_unavailable = self._why_not(trained)
        self._trained = trained if self.why_unavailable is None else {}
        if {n: p.shape for n, p in self._trained.items()} != before:
            self._good, self._new = [], None
            self._copies.reserve()

    @property
    def step(self) -> int | None:
        """The optimizer steps that the good copy has behind it; None while there is no good copy."""
        return self._good[-1].step if self._good else None

    def updated(self, step: int, calm: bool) -> None:
        """The parameters now have ``step`` steps behind them: copy them, unless it is too early for another copy.
        ``calm``: nothing is known to be wrong."""
        if calm and self._trained and self._is_time(step):
            self._new = self._copy(step)

    def take_good(self, step: int) -> None:
        """Copy the parameters, which are known to be good."""
        if self._trained:
            self._drop_new()
            if self._good:
                self._copies.drop(self._good.pop())
            self._good.append(self._copy(step))

    def judged(self, step: int, healthy: bool, evidence: int = 0) -> None:
        """All steps up to ``step`` have been judged, and the run is ``healthy`` or not. ``evidence``: steps before
        ``step`` for which it may not have been healthy any more."""
        if not healthy:
            self._drop_new()
            if len(self._good) > 1 and self._good[-1].step > step - evidence:
                self._copies.drop(self._good.pop())
        elif self._new is not None and step >= self._new.step + CONFIRMED_AFTER:
            self._promote()

    def save(self, folder: Path) -> None:
        """Write the good copy to ``folder``, as ``PeftModel.from_pretrained`` reads it. Nothing if there is none.

        Raises what the model's ``save_pretrained`` raises, OSError above all; the folder is then as it was.
        """
        if self._good and self._saved != (folder, self.step):
            self._write(folder, self._good[-1].step, self._good[-1].read())

    def is_saved(self, folder: Path) -> bool:
        """Whether ``folder`` holds what was last good."""
        return bool(self._good) and self._saved == (folder, self.step) and folder.is_dir()

    def _why_not(self, trained: dict[str, Tensor]) -> str | None:
        if not hasattr(self._model, "save_pretrained"):
            return f"{type(self._model).__name__} has no save_pretrained"
        if takes_every_rank(trained.values()):
            return "the trained parameters are spread over ranks (FSDP2, tensor parallelism, ZeRO-3)"
        if (why := why_not_copied(self._model, trained.values())) is not None:
            return why
        size = sum(elements(p) * p.element_size() for p in trained.values())
        if size > LARGEST_COPY:
            return f"{size / 2**30:.1f} GiB are trained, and no more than {LARGEST_COPY / 2**30:g} GiB are kept"
        return None

    def _copy(self, step: int) -> Copy:
        began = time.perf_counter()
        made = self._copies.take(step)
        self._due = began + (time.perf_counter() - began) / LARGEST_SHARE_OF_TIME
        return made

    def _is_time(self, step: int) -> bool:
        """No copy waits to be good, the latest is so old, and the time since it was made so long, that another may be
        made."""
        early = self.step is not None and step < self.step + self._apart
        return self._new is None and not early and time.perf_counter() >= self._due

    def _promote(self) -> None:
        """The new copy is good."""
        if len(self._good) > 1:
            self._copies.drop(self._good.pop(0))
        if self._new is not None:
            self._good.append(self._new)
        self._new = None

    def _drop_new(self) -> None:
        self._copies.drop(self._new)
        self._new = None

    def _write(self, folder: Path, step: int, trained: Mapping[str, Tensor]) -> None:
        """``trained`` in the place of what the model holds now."""
        put_back(folder)
        part, old = next_to(folder, "part"), next_to(folder, "old")
        # Of what is frozen and sharded PEFT may gather the wholes, for which all ranks would have to be here.
        others = {name: t for name, t in self._model.state_dict().items() if not sharded(t)}
        try:
            remove(part)
            with _settings_unchanged(self._model), _embeddings_decided(self._model) as how:
                self._model.save_pretrained(part, state_dict={**others, **trained}, **how)
            if os.path.lexists(folder):  # a kill at any moment leaves one of the two
                os.replace(folder, old)
            os.replace(part, folder)
        except BaseException:
            remove(part)
            put_back(folder)
            raise
        remove(old)
        self._saved = folder, step


def put_back(folder: Path) -> None:
    """Undo what a kill has left half done: the old ``folder`` aside, and no new one in its place."""
    old = next_to(folder, "old")
    if os.path.lexists(folder):
        remove(old)
    elif os.path.lexists(old):
        os.replace(old, folder)


def next_to(folder: Path, ending: str) -> Path:
    """``last_good.old``."""
    return folder.with_name(f"{folder.name}.{ending}")


def remove(path: Path) -> None:
    """A folder with all that is in it, or a link alone and not what it leads to."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


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


@contextmanager
def _embeddings_decided(model: Any) -> Iterator[dict[str, Any]]:
    """Arguments by which ``save_pretrained`` writes the embeddings, or does not. Left to itself PEFT asks the Hub how
    large the base model's vocabulary is."""
    if not (getattr(model, "peft_config", None) and hasattr(model, "get_input_embeddings")):
        yield {}
    elif "save_embedding_layers" in inspect.signature(model.save_pretrained).parameters:
        yield {"save_embedding_layers": embeddings_have_changed(model)}
    else:  # transformers' own integration of PEFT has no such argument, but one method that asks PEFT
        peft = sys.modules["peft"]

        def state_of_adapter(adapter_name: str | None = None, state_dict: dict[str, Tensor] | None = None) -> Any:
            name = adapter_name or model.active_adapters()[0]
            changed = embeddings_have_changed(model)
            return peft.get_peft_model_state_dict(model, state_dict, name, save_embedding_layers=changed)

        model.get_adapter_state_dict = state_of_adapter
        try:
            yield {}
        finally:
            del model.get_adapter_state_dict


def embeddings_have_changed(model: Any) -> bool:
    """They carry an adapter, are trained without a copy of PEFT's own, or are more than the base model on disk has."""
    for get in ("get_input_embeddings", "get_output_embeddings"):
        layer = getattr(model, get, lambda: None)()
        weight = getattr(layer, "weight", None)
        trained = weight is not None and weight.requires_grad and not hasattr(layer, "original_module")
        if hasattr(layer, "base_layer") or trained:
            return True
    return _was_resized(model)


def _was_resized(model: Any) -> bool:
    """As far as the files on this machine show."""
    base = next((str(c.base_model_name_or_path or "") for c in model.peft_config.values()), "")
    hub = sys.modules.get("huggingface_hub")
    file: Any = os.path.join(base, "config.json")
    if base and not os.path.isfile(file) and hub is not None:
        with suppress(ValueError):  # no name of the Hub's
            file = hub.try_to_load_from_cache(base, "config.json")  # reads the cache alone
    try:
        vocabulary = json.loads(Path(file).read_bytes()).get("vocab_size") if base else None
    except (OSError, TypeError, ValueError):
        return False
    return vocabulary is not None and vocabulary != getattr(getattr(model, "config", None), "vocab_size", None)
