"""Where the adapters of a model are, and what has none, in words: read before the first step."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor, nn

from lora_watch.adapters.adapter import Adapter
from lora_watch.adapters.peft_config import settings_of
from lora_watch.adapters.tensors import elements
from lora_watch.adapters.tree import walk
from lora_watch.base.names import clean_name, layer_index, module_family
from lora_watch.base.records import AdapterInfo
from lora_watch.base.text import count, first_of, formula, percent

_EXPERTS = re.compile(r"(^|\.)experts?(\.|$)")
"""The routed ones: ``shared_experts`` are none."""
_MLP = re.compile(r"(^|\.)(mlp|feed_?forward|ffn?|intermediate|\w*moe|\w*experts?|fc\d)(\.|$)")


def placement(
    model: nn.Module, adapters: Sequence[Adapter], described: Sequence[AdapterInfo], found: Sequence[Adapter]
) -> str:
    """``28 adapters: q k v o gate up down in 4 of 4 blocks; 8.4 % of the parameters; rank 8, alpha/r 2.``

    The share is of all that is trained: ``12 % of the parameters, with lm_head``. After it stands how many more were
    ``found`` that do not train, and what has no adapter, where that may be a mistake: whole blocks, the MLP, the
    experts. And an adapted output layer that is tied to the embeddings.
    """
    paths = {module: clean_name(path) for path, module in walk(model)}
    adapted = list(dict.fromkeys(paths[adapter.module] for adapter in adapters))
    held = [(name, p) for module, name in paths.items() for p in module.parameters(recurse=False)]
    rest = [(name, weight) for name, weight in held if ".lora_" not in f".{name}"]
    weights = [(name, weight) for name, weight in rest if len(getattr(weight, "ds_shape", weight.shape)) > 1]  # ZeRO-3
    blocks, there = _blocks(adapted), _blocks(name for name, _ in weights)
    there = {block for block in there if block[0] in {stack for stack, _ in blocks}}
    inside = [name for name in adapted if _block(name)]
    where = _leaves(inside)
    if inside:
        where += f" in {len(blocks)} of {count(len(there), 'block')}"
    if outside := first_of([name for name in adapted if name not in inside], 4):
        where += f", {outside}" if where else outside
    total = sum({id(parameter): _numbers(parameter) for _, parameter in held}.values())
    trained = sum({id(parameter): _numbers(parameter) for _, parameter in held if parameter.requires_grad}.values())
    own = {id(parameter) for adapter in found for parameter in adapter.own}
    others = {name.partition(".modules_to_save")[0]: 0 for name, p in rest if p.requires_grad and id(p) not in own}
    ranks = first_of([str(rank) for rank in sorted({info.r for info in described})], 5)
    scales = sorted({(formula(info.scale_formula), info.scale) for info in described})
    shown = first_of([f"{of} {scale:.3g}" for of, scale in scales], 3)
    beside = f", with {first_of(others, 2)}" if others else ""
    trains = any(info.trainable for info in described)
    share = f"{percent(trained / max(total, 1))} of the parameters{beside}" if trains else "all frozen"
    said = [f"{count(len(adapters), 'adapter')}: {where}; {share}; rank {ranks}, {shown}."]
    within = [(name, weight) for name, weight in weights if _block(name) in there]
    having = list(dict.fromkeys(paths[adapter.module] for adapter in found))
    if resting := {paths[a.module]: a for a in found if paths[a.module] not in adapted}:
        states = {"merged" if a.merged else "frozen" if a.active else "inactive" for a in resting.values()}
        is_or_are = "is" if len(resting) == 1 else "are"
        said.append(f"{count(len(resting), 'more adapter')} {is_or_are} {' or '.join(sorted(states))}.")
    if bare := _left_out(having, _blocks(having), there, within, total):
        said.append(f"Without adapters: {'; '.join(bare)}.")
    for ends in _tied(model, weights, having):
        said.append(f"{' and '.join(ends)} share one weight: a merge changes both ends.")
    return " ".join(said)


def _left_out(
    adapted: Sequence[str],
    blocks: set[tuple[str, int]],
    there: set[tuple[str, int]],
    weights: Sequence[tuple[str, Tensor]],
    total: int,
) -> list[str]:
    """What of ``weights``, those of the adapted stacks of blocks, has no adapter and looks as if it might have one."""
    out = []
    if bare := sorted(index for _, index in there - blocks):
        out.append(f"{'block' if len(bare) == 1 else 'blocks'} {first_of([str(index) for index in bare], 6)}")
    experts = [(name, weight) for name, weight in weights if _EXPERTS.search(name)]
    if experts and not any(map(_EXPERTS.search, adapted)):
        share = sum(_numbers(weight) for _, weight in experts) / total
        out.append(f"the routed experts, {percent(share)} of the parameters")
    elif not any(map(_MLP.search, adapted)) and (mlp := [name for name, _ in weights if _MLP.search(name)]):
        out.append(f"the MLP ({_leaves(mlp)})")
    return out


def _tied(model: nn.Module, weights: Sequence[tuple[str, Tensor]], adapted: Sequence[str]) -> list[list[str]]:
    """The layers of each weight that several have, where some of them are ``adapted`` and PEFT does not tie these."""
    if any(config.get("ensure_weight_tying") for config in settings_of(model).values()):
        return []
    owners: dict[int, list[str]] = {}
    for name, weight in weights:
        owners.setdefault(id(weight), []).append(name)
    return [ends for ends in owners.values() if len(ends) > 1 and not set(ends).isdisjoint(adapted)]


def _block(name: str) -> tuple[str, int] | None:
    """The stack of blocks that holds the layer, and the block's index in it."""
    index = layer_index(name)
    return None if index is None or name.rpartition(".")[2].isdecimal() else (module_family(name).split("*")[0], index)


def _blocks(names: Iterable[str]) -> set[tuple[str, int]]:
    return {block for name in names if (block := _block(name)) is not None}


def _leaves(names: Iterable[str]) -> str:
    """``q k v o``: how layers are called in their blocks."""
    leaves = dict.fromkeys(re.sub(r"(?<!^c)_proj$", "", name.rpartition(".")[2]) for name in names)
    return " ".join([*leaves][:10]) + (" …" if len(leaves) > 10 else "")


def _numbers(weight: Any) -> int:
    """How many the whole weight has; bitsandbytes keeps those of 4 bits in fewer bytes."""
    state = getattr(weight, "quant_state", None)
    return elements(weight) if state is None else state.shape.numel()
