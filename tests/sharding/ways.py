"""Ways to spread a model over ranks, each trained once without and once with a Monitor: a row of the matrix.

    torchrun --nproc_per_node 2 -m tests.sharding.ways FOLDER fsdp2 tensor-parallel …

Rank 0 writes FOLDER/<way>.json. The suite's tests and ``python docs/matrix.py`` read it.
"""

import contextlib
import functools
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.distributed.nn.functional import all_gather

from lora_watch import Monitor, find_adapters
from lora_watch.adapters.sharding import dtensor
from lora_watch.base.records import Due
from lora_watch.measurement.norms.sample import FrozenWeights
from tests.support import lora, stdlib_blocks, tiny_model, updates

STEPS = 6
"""All of them are measured in full, also where that is seldom later (ZeRO-3)."""
MORE_STEPS = 22
"""With a step of the fixed cadence after the first ones, which are all measured in full."""
Whole = Callable[[], contextlib.AbstractContextManager[Any]]
"""Inside, every parameter of the model is whole."""


# -- torch's own -------------------------------------------------------------------------------------------------------
def one(model: Any) -> tuple[Any, Whole]:
    return model, contextlib.nullcontext


def ddp(model: Any) -> tuple[Any, Whole]:
    return torch.nn.parallel.DistributedDataParallel(model), contextlib.nullcontext


def fsdp2(model: Any, **options: Any) -> tuple[Any, Whole]:
    from torch.distributed.fsdp import fully_shard

    for layer in model.get_base_model().model.layers:
        fully_shard(layer, **options)
    return fully_shard(model, **options), contextlib.nullcontext  # full_tensor() of each


def fsdp2_offloaded(model: Any) -> tuple[Any, Whole]:
    from torch.distributed.fsdp import CPUOffloadPolicy

    return fsdp2(model, offload_policy=CPUOffloadPolicy(pin_memory=False))


def fsdp2_bf16(model: Any) -> tuple[Any, Whole]:
    from torch.distributed.fsdp import MixedPrecisionPolicy

    return fsdp2(model, mp_policy=MixedPrecisionPolicy(param_dtype=torch.bfloat16))


def fsdp1(model: Any, use_orig_params: bool) -> tuple[Any, Whole]:
    from torch.distributed.fsdp import FullyShardedDataParallel
    from torch.distributed.fsdp.wrap import ModuleWrapPolicy, lambda_auto_wrap_policy

    def trained_leaf(module: Any) -> bool:  # as PEFT's fsdp_auto_wrap_policy wraps them
        return not list(module.children()) and getattr(getattr(module, "weight", None), "requires_grad", False)

    blocks = ModuleWrapPolicy({type(model.get_base_model().model.layers[0])})
    leaves = functools.partial(lambda_auto_wrap_policy, lambda_fn=trained_leaf)
    wrapped = FullyShardedDataParallel(
        model,
        auto_wrap_policy=blocks if use_orig_params else leaves,
        use_orig_params=use_orig_params,
        device_id=torch.device("cpu"),
    )
    return wrapped, lambda: FullyShardedDataParallel.summon_full_params(wrapped, writeback=False)


def tensor_parallel(model: Any) -> tuple[Any, Whole]:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for layer in model.get_base_model().model.layers:
        for name, plan in (
            ("gate_proj", ColwiseParallel),
            ("up_proj", ColwiseParallel),
            ("down_proj", RowwiseParallel),
        ):
            # A whole on every rank, B cut along its rows; the other way round in the second projection.
            rows = plan is ColwiseParallel
            part = getattr(layer.mlp, name)
            parallelize_module(part, mesh, {"base_layer": plan(), f"lora_{'B' if rows else 'A'}.default": plan()})
    return model, contextlib.nullcontext


def context_parallel(model: Any) -> tuple[Any, Whole]:
    """Each rank has a run of the tokens, and gathers the keys and values of all; weights are spread as accelerate does
    it. ``torch.distributed.tensor.experimental.context_parallel`` has no attention for a CPU."""
    from transformers import AttentionInterface

    AttentionInterface.register("gathered", gathered_attention)
    model.get_base_model().set_attn_implementation("gathered")
    return fsdp2(model)


def gathered_attention(module: Any, query: Any, key: Any, value: Any, mask: Any, scaling: float, **_: Any) -> Any:
    key, value = (torch.cat(all_gather(tensor.contiguous()), dim=2) for tensor in (key, value))
    rows, columns = rank() * query.shape[2] + torch.arange(query.shape[2]), torch.arange(key.shape[2])
    seen = rows[:, None] >= columns
    out = F.scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=scaling, enable_gqa=True)
    return out.transpose(1, 2).contiguous(), None


def inputs(way: str, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """What this rank's model is given of a batch."""
    if way != "context-parallel":
        return {"input_ids": ids, "labels": ids}
    following = F.pad(ids[:, 1:], (0, 1), value=-100)
    places = torch.arange(ids.shape[1]).expand_as(ids)
    mine, labels, at = (t.chunk(dist.get_world_size(), 1)[rank()].contiguous() for t in (ids, following, places))
    return {"input_ids": mine, "labels": mine, "shift_labels": labels, "position_ids": at}


WAYS: dict[str, Callable[[Any], tuple[Any, Whole]]] = {
    "one process": one,
    "ddp": ddp,
    "ddp-3": ddp,
    "fsdp2": fsdp2,
    "fsdp2-3": fsdp2,
    "fsdp2-dora": fsdp2,
    "fsdp2-dora-8": fsdp2,
    "fsdp2-recovers": fsdp2,
    "fsdp2-bf16": fsdp2_bf16,
    "fsdp2-offloaded": fsdp2_offloaded,
    "fsdp1-orig": functools.partial(fsdp1, use_orig_params=True),
    "fsdp1-flat": functools.partial(fsdp1, use_orig_params=False),
    "tensor-parallel": tensor_parallel,
    "context-parallel": context_parallel,
}
FEW = ("fsdp2-dora-8", "fsdp2-recovers", "fsdp1-orig", "fsdp1-flat", "context-parallel")
"""Of eight adapters: how many there are is another way's matter."""


def loop(way: str, folder: Path, monitored: bool) -> dict[str, Any]:
    torch.manual_seed(0)
    dora, recovers = "dora" in way, way == "fsdp2-recovers"
    steps = MORE_STEPS if dora else 10 if recovers else STEPS
    targets = ["q_proj", "down_proj"] if way in FEW else "all-linear"
    alpha, lr = (128, 3e-2) if recovers else (16, 2e-3)
    model, whole = WAYS[way](lora(tiny_model(), alpha=alpha, targets=targets, use_dora=dora).train())
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr)
    settings: dict[str, Any] = {"output_dir": folder / way.replace(" ", "-"), "console": False, "max_steps": steps}
    if dora:
        settings["full_every"] = MORE_STEPS
    data = torch.tensor([block["input_ids"] for block in stdlib_blocks(2 * steps, 32)]).split(2)
    losses, full, at_first = [], [], []
    if recovers:
        settings |= {"recover": 3}
        with torch.no_grad():
            at_first = [float(model(input_ids=ids, labels=ids).loss) for ids in data]
    monitor = Monitor(model, optimizer, **settings) if monitored else None
    with monitor or contextlib.nullcontext():
        for ids in data:
            loss = model(**inputs(way, ids)).loss
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            if monitor is not None:
                record = monitor.step(loss=losses[-1])
                full += [record.step] if record is not None and "effective_rank" in record.metrics else []
            optimizer.zero_grad()
    with whole():
        seen = {"full": full, **seen_by(monitor, model)} if monitor is not None else {}
        if recovers and monitor is not None:
            back = [alert.step for alert in monitor.alerts if alert.rule == "LW910"]
            seen["back"] = [(losses[step], at_first[step]) for step in back]  # of the step after it
        return {"losses": losses, **seen}


def pieces() -> dict[str, Any]:
    """Matrices of fewer rows than ranks too, on a flat mesh and on one that has copies."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    ranks, results = dist.get_world_size(), {}
    meshes = {"flat": (init_device_mesh("cpu", (ranks,)), [Shard(0)])}
    meshes["copies"] = init_device_mesh("cpu", (1, ranks), mesh_dim_names=("copy", "cut")), [Replicate(), Shard(0)]
    for name, (mesh, placements) in meshes.items():
        for sizes in ([(1, 9), (1, 4)], [(5, 3), (8, 2), (2, 7)]):
            torch.manual_seed(0)
            cut = [torch.nn.Parameter(distribute_tensor(torch.randn(size), mesh, placements)) for size in sizes]
            full = [p.full_tensor() for p in cut]  # type: ignore[attr-defined]
            whole = dtensor.wholes(cut)
            results[f"{name}, {len(sizes)}"] = {
                "same": all(torch.equal(whole[id(p)], f) for p, f in zip(cut, full)),
                "norms": float((dtensor.norms(cut) - torch.stack([f.double().norm() for f in full])).abs().max()),
            }
    return results


def drifted() -> dict[str, Any]:
    """One number of the part that the last rank has of a frozen weight changes: what each rank says of that weight."""
    torch.manual_seed(0)
    model, _ = fsdp2(lora(tiny_model()))
    adapters, frozen, due = list(find_adapters(model)), FrozenWeights(), Due(1)
    frozen.watch(adapters)
    before = frozen.begin(due).now()["base_drift"]
    with torch.no_grad():
        if rank() == dist.get_world_size() - 1:
            adapters[3].base_weight.to_local().view(-1)[0] += 1.0  # type: ignore[union-attr, operator]
    after = frozen.begin(due).now()["base_drift"]
    for module in model.modules():
        if hasattr(module, "unshard"):
            module.unshard()  # type: ignore[operator]
    whole = frozen.begin(due).now()["base_drift"]
    said = [float(before.values.max()), np.flatnonzero(after.values).tolist(), int(whole.known.sum())]
    return {"known": int(before.known.sum()), "by_rank": everyone(said)}


def saved_by_a_loop(way: str, folder: Path) -> dict[str, list[str]]:
    """The rules that speak after one step and a save of the whole adapter, of what the first rank holds of it, and of
    nothing; then where a session goes on with the same weights, and where one layer has lost them."""
    torch.manual_seed(0)
    model, _ = WAYS[way](lora(tiny_model(), targets=["gate_proj", "up_proj", "down_proj"]).train())
    adapters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(adapters.values(), lr=2e-3)
    ids, found = torch.tensor([block["input_ids"] for block in stdlib_blocks(2, 32)]), {}
    for kind, method in {"whole": "full_tensor", "shards": "to_local", "nothing": ""}.items():
        with Monitor(model, optimizer, output_dir=folder / kind, console=False) as monitor:
            updates(monitor, optimizer, [model(input_ids=ids, labels=ids).loss])
            content = {name: getattr(p, method, p.detach)() for name, p in adapters.items()} if method else {}
            if rank() == 0:
                model.save_pretrained(folder / kind, state_dict=content)
                monitor.saved(folder / kind)
        found[kind], state = [alert.rule for alert in monitor.alerts], monitor.state_dict()
    for kind in ("resumed", "dropped"):
        monitor = Monitor(model, optimizer, output_dir=folder / kind, console=False)
        monitor.load_state_dict({name: state[name] for name in ("step", "delta_norms")})
        with monitor, torch.no_grad():
            next(p for name, p in adapters.items() if "lora_B" in name).zero_()  # for the second one
        found[kind] = [alert.rule for alert in monitor.alerts]
    return found


# -- what came of it --------------------------------------------------------------------------------------------------
@torch.no_grad()
def seen_by(monitor: Any, model: Any) -> dict[str, Any]:
    """What the monitor's last numbers are worth, next to what is true now."""
    record = monitor.last
    truth = [
        abs(a.scale) * sum(float((b.double() @ x.double()).norm()) ** 2 for x, b in a.factors()) ** 0.5
        for a in find_adapters(model)
    ]
    folders = [sink.directory for sink in getattr(monitor, "engine", monitor).sinks._sinks if hasattr(sink, "run_id")]
    kept = json.loads((folders[0] / "report.json").read_text()) if rank() == 0 else {}
    last = {a["name"]: a["last"] for a in kept.get("adapters", ())}
    norms = [numbers.get("delta_norm") for numbers in last.values()]
    errors = [abs(n / t - 1) for n, t in zip(norms, truth) if n is not None]
    measured = {name: record.metrics[name].measured.tobytes() for name in METRICS if name in record.metrics}
    measured.pop("output_ratio", None)  # of each rank's own tokens
    return {
        "known": {m: sum(v.get(m) is not None for v in last.values()) for m in METRICS},
        "error": max(errors) if errors else None,
        "measured_at": kept.get("measured_at"),
        "verdict": kept.get("verdict"),
        "notes": kept.get("notes"),
        "versions": kept.get("versions"),
        "alike": all(other == measured for other in everyone(measured)),
        "alerts": [f"{alert.rule} {alert.message}" for alert in monitor.alerts],
        "wiring": sorted(record.wiring),
    }


def everyone(own: Any) -> list[Any]:
    if not dist.is_initialized():
        return [own]
    by_rank: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(by_rank, own)
    return by_rank


METRICS = ("delta_norm", "a_grad_norm", "output_ratio", "relative_norm", "base_drift", "effective_lr", "predicted_norm")


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def through_trainer(way: str) -> bool:
    return way.startswith("zero") or way.endswith("-trainer")


def row(way: str, folder: Path) -> dict[str, Any]:
    from tests.sharding.trainers import trained

    train = trained if through_trainer(way) else loop
    plain, monitored = train(way, folder, False), train(way, folder, True)
    same = plain.pop("losses") == monitored.pop("losses")
    return {"way": way, "ranks": dist.get_world_size() if dist.is_initialized() else 1, "same": same, **monitored}


def main(folder: Path, ways: Sequence[str]) -> None:
    from tests.sharding.kept import kept
    from tests.sharding.trainers import saved

    torch.set_num_threads(1)
    if any("zero" in way for way in ways):
        import deepspeed  # pyright: ignore[reportMissingImports]

        deepspeed.init_distributed("gloo")
    elif "RANK" in os.environ:
        dist.init_process_group("gloo")
    for way in ways:
        if way == "pieces":
            result = pieces()
        elif way == "drifted":
            result = drifted()
        elif way.startswith("saved-"):
            result = saved(way.removeprefix("saved-"), folder)
        elif way.startswith("loop-"):
            result = saved_by_a_loop(way.removeprefix("loop-"), folder / way)
        elif way.startswith("kept-"):
            result = kept(way.removeprefix("kept-"), folder)
        else:
            result = row(way, folder)
        if rank() == 0:
            (folder / f"{way}.json").write_text(json.dumps(result))
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]), sys.argv[2:])
