"""The receipt of a save: the adapter in the files is read back, and compared with the one that was trained."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from torch import nn

from lora_watch.adapters import NoAdaptersError, find_adapters
from lora_watch.adapters.sharding import takes_every_rank
from lora_watch.base.names import WRAPPERS
from lora_watch.base.records import Receipt
from lora_watch.base.untrusted import MISFITS, load_json
from lora_watch.measurement.norms import AdapterBank
from lora_watch.snapshots.adapter import CONFIG, METHODS, NOT_PLAIN, GroupedError, StoredAdapter, read_adapters
from lora_watch.snapshots.weights import StoredError

_PREFIX = "base_model.model."
"""With which PEFT begins the name of each tensor that it saves: it loads no other."""
_ROUNDING = 1e-2
"""Share of ‖ΔW‖ by which a file may differ: bfloat16 keeps 8 bits of each number, and a norm averages over them."""


def read_back(folder: Path, step: int, trained: Mapping[str, float]) -> Receipt | None:
    """Compare what was saved in ``folder`` after ``step`` with ``trained``: ‖ΔW‖ by the name of the adapter; one that
    is NaN is only looked for. One layer is in memory at a time.

    None where there is nothing to compare: no adapter was measured, PEFT has saved nothing there, as where each rank
    saves its own part of a model (FSDP, ZeRO-3), or it has saved a pickle, or adapters whose files do not say all of
    their ΔW (those of grouped convolutions and of other methods). Sets of adapters that were not saved are passed over.
    """
    found: dict[str, StoredAdapter] = {}
    ends: list[str] = []
    for end, place in _sets(folder):
        if not trained or (place / "adapter_model.bin").is_file() or not _says_all(place / CONFIG):
            return None
        ends.append(end)
        try:
            saved = read_adapters(place)
            parameters = {str(name).rpartition(".")[2] for name in saved.config.get("target_parameters") or ()}
            found |= {_trained_as(adapter, end, parameters, trained): adapter for adapter in saved.adapters}
        except GroupedError:
            return None
        except StoredError as error:
            return Receipt(step, str(folder), unreadable=str(error))
    if not ends:
        return None
    missing, misnamed, differing = [], [], []
    for name, norm in trained.items():
        if (adapter := found.get(name)) is None:
            end = next((end for end in ends if end and name.endswith(end)), "")
            of_another_set = not end and name.rpartition(".")[0] in trained
            if end in ends and not of_another_set:
                missing.append(name)
        elif any(not key.startswith(_PREFIX) or WRAPPERS & set(key.split(".")) for key in adapter.keys.values()):
            misnamed.append(name)
        elif not math.isnan(norm):
            saved = float(AdapterBank([adapter]).measure(spectrum=False)["delta_norm"][0])
            if not math.isclose(saved, norm, rel_tol=_ROUNDING):
                differing.append((name, saved, norm))
    return Receipt(step, str(folder), "", tuple(missing), tuple(misnamed), tuple(differing))


def norms_of(model: nn.Module) -> dict[str, float]:
    """‖ΔW‖ of each adapter by its name, as it is now; NaN where that takes other ranks."""
    try:
        adapters = find_adapters(model)
    except NoAdaptersError:
        return {}
    if takes_every_rank(tensor for adapter in adapters for tensor in adapter.own):
        return {adapter.name: math.nan for adapter in adapters}
    bank = AdapterBank(adapters)
    norms = bank.measure(spectrum=False)["delta_norm"]  # which says what is ``known``
    norms = np.where(bank.known, norms, math.nan).tolist()
    return {adapter.name: norm for adapter, norm in zip(adapters, norms)}


def _trained_as(adapter: StoredAdapter, end: str, parameters: Collection[str], trained: Iterable[str]) -> str:
    """The name in the model of what is ``adapter`` in a file: there the ``parameters`` of one module (experts) have the
    module's name, and lie in one another as often as they come later in the model."""
    if not parameters:
        return f"{adapter.name}{end}"
    ours = (name.removesuffix(end).rpartition(".") for name in trained if name.endswith(end))
    own = [name for module, _, name in ours if module == adapter.module and name in parameters]
    depth = adapter.keys["A"].split(".").count("base_layer")
    return f"{adapter.module}.{own[depth]}{end}" if depth < len(own) else f"{adapter.name}{end}"


def _says_all(config: Path) -> bool:
    """The adapters are plain LoRA's or AdaLoRA's: the file has all that their ΔW is made of. Patterns of ranks may name
    parameters of a module, which the file does not."""
    try:
        said = load_json(config)
        unclear = said.get("target_parameters") and (said.get("rank_pattern") or said.get("alpha_pattern"))
        return said["peft_type"] in METHODS and not unclear and not any(map(said.get, NOT_PLAIN))
    except (OSError, *MISFITS):
        return True  # reading it says what is wrong


def _sets(folder: Path) -> Iterator[tuple[str, Path]]:
    """Each set of adapters that PEFT has saved in ``folder``, and with what the names of its adapters end."""
    if (folder / CONFIG).is_file():
        yield "", folder
    for config in sorted(folder.glob(f"*/{CONFIG}")):
        yield f".{config.parent.name}", config.parent
