"""Every metric of a step's record, on real PEFT layers of any shape, dtype and size, against extended precision."""

import math
import unittest.mock
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import peft
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lora_watch import Monitor, StepRecord
from lora_watch.adapters import Adapter, find_adapters
from lora_watch.base import deferred

PROMISE = 1e-6
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
SIZES = [1.0, 1e-30, 1e-15, 1e-3, 1e3, 1e15, 1e30]
Wide = np.ndarray[Any, np.dtype[np.longdouble]]


@dataclass(frozen=True)
class Drawn:
    """One layer, and what happens to it."""

    d_out: int
    d_in: int
    r: int
    dtype: torch.dtype
    seed: int
    size_a: float
    size_b: float
    size_w: float
    shape_a: str
    shape_w: str
    spread: tuple[float, float]
    """Decades over which the rows of A and the columns of B are graded."""
    transposed: bool
    moves: tuple[str, str]
    """What each of the two steps changes."""
    move_size: float
    spoiled: float | None


SHAPES = ["as is", "as is", "cancelling 1e-2", "cancelling 1e-4", "cancelling 1e-6", "low rank", "zero directions"]
SHAPES += ["zero B", "zero A"]
MOVES = ["nothing", "A", "B", "both", "scale", "diagonal", "spoil"]


@st.composite
def layers(draw: st.DrawFn) -> Drawn:
    dtype = draw(st.sampled_from(DTYPES))
    sizes = [1.0] if dtype == torch.float16 else SIZES
    return Drawn(
        draw(st.integers(1, 40)),
        draw(st.integers(1, 40)),
        draw(st.integers(1, 12)),
        dtype,
        draw(st.integers(0, 2**31)),
        draw(st.sampled_from(sizes)),
        draw(st.sampled_from(sizes)),
        draw(st.sampled_from(sizes)),
        draw(st.sampled_from(SHAPES)),
        draw(st.sampled_from(["as is", "as is", "rank one", "zero", "one row"])),
        (draw(st.sampled_from([0, 0, 3, 8])), draw(st.sampled_from([0, 0, 3, 8]))),
        draw(st.booleans()),
        (draw(st.sampled_from(MOVES)), draw(st.sampled_from(MOVES))),
        draw(st.sampled_from([1.0, 1e-2, 1e-6, 1e-12])),
        draw(st.sampled_from([math.nan, math.inf])),
    )


class Side(nn.Module):
    """Layers side by side, each with an input of its own."""

    def __init__(self, drawn: Sequence[Drawn]):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(d.d_in, d.d_out, bias=False, dtype=d.dtype) for d in drawn)

    def forward(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        return [layer(x) for layer, x in zip(self.layers, inputs)]


def build(drawn: Sequence[Drawn], method: str) -> Any:
    net = Side(drawn)
    for layer, d in zip(net.layers, drawn):
        layer.weight.data = weight(d)  # pyright: ignore
    names = [f"layers.{i}" for i in range(len(drawn))]
    options: dict[str, Any] = {"target_modules": names, "lora_alpha": 6}
    if method == "adalora":
        config: Any = peft.AdaLoraConfig(init_r=4, total_step=100, rank_pattern=None, **options)
    else:
        ranks = {name: d.r for name, d in zip(names, drawn)}
        config = peft.LoraConfig(rank_pattern=ranks, use_dora=method == "dora", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return peft.get_peft_model(net, config, autocast_adapter_dtype=False).train()


def noise(d: Drawn, *shape: int, salt: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(d.seed + salt), dtype=torch.float64)


def weight(d: Drawn) -> Tensor:
    w = noise(d, d.d_out, d.d_in, salt=1)
    match d.shape_w:
        case "rank one":
            w = w[:, :1] * w[:1]
        case "zero":
            w = 0 * w
        case "one row":
            w[1:] = 0
    return (d.size_w * w).to(d.dtype)


def factors(d: Drawn, r: int) -> tuple[Tensor, Tensor]:
    a, b = noise(d, r, d.d_in, salt=2), noise(d, d.d_out, r, salt=3)
    for x, decades, salt in ((a, d.spread[0], 4), (b.T, d.spread[1], 5)):
        x *= 10 ** (-decades * noise(d, r, salt=salt).abs().clamp(max=1))[:, None]
    kind, _, size = d.shape_a.partition(" 1e")
    match kind:
        case "cancelling":  # two directions that all but undo each other
            a[-1], b[:, -1] = a[0] * (1 + float(f"1e{size}")), -b[:, 0]
        case "low rank":
            a[r // 2 :] = a[0].clone()
        case "zero directions":
            a[::2], b[:, ::3] = 0, 0
        case "zero B":
            b.zero_()
        case "zero A":
            a.zero_()
    a, b = (d.size_a * a).to(d.dtype), (d.size_b * b).to(d.dtype)
    return (a.T.contiguous().T, b.T.contiguous().T) if d.transposed else (a, b)


def wide(x: Tensor) -> Wide:
    return x.detach().double().numpy().astype(np.longdouble)


# -- the truth -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Seen:
    """One adapter at one moment."""

    a: Wide
    b: Wide
    diagonal: Wide
    scale: float
    magnitude: Wide | None
    grads: tuple[Tensor | None, Tensor | None]

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.a).all() and np.isfinite(self.b).all())

    @property
    def delta(self) -> Wide:
        return self.scale * ((self.b * self.diagonal) @ self.a)

    @property
    def size(self) -> float:
        """‖A‖‖B‖ over the directions in which neither is zero: float64 resolves 1e-16 of it."""
        inner = self.diagonal[:, None] * self.a
        live = inner.any(1) & self.b.any(0)
        return float(abs(self.scale) * length(inner[live]) * length(self.b[:, live]))


def look(adapter: Adapter) -> Seen:
    ((a, b),) = adapter.factors()
    diagonal = np.ones(len(a), np.longdouble) if adapter.diagonal is None else wide(adapter.diagonal)
    magnitude = None if adapter.magnitude is None else wide(adapter.magnitude).ravel()
    grads = tuple(None if p.grad is None else p.grad.clone() for p in adapter.parameters)
    return Seen(wide(a), wide(b), diagonal, adapter.scale, magnitude, grads)  # pyright: ignore


def length(x: Wide) -> np.longdouble:
    return np.sqrt((x * x).sum())


def singular_values(x: Wide, r: int) -> Wide:
    """In float64 of ``x`` brought to size one: good to 1e-16·σ₁."""
    top = np.abs(x).max(initial=0)
    if top == 0:
        return np.zeros(r, np.longdouble)
    sigma = np.linalg.svd((x / top).astype(np.float64), compute_uv=False)[:r]
    return sigma.astype(np.longdouble) * top


def truth(now: Seen, w: Wide) -> dict[str, float]:
    out: dict[str, Any] = {"scale": now.scale}
    names = ("product_norm", "delta_norm", "spectral_norm", "stable_rank", "effective_rank", "a_norm", "b_norm")
    if not now.finite:
        return out | dict.fromkeys((*names, "relative_norm", "relative_spectral_norm"), math.nan)
    sigma = singular_values(now.delta, len(now.a))
    top, norm = sigma.max(initial=0), length(now.delta)
    p = sigma[sigma > 0] / max(sigma.sum(), np.longdouble(1e-4000))
    own = singular_values(w, min(w.shape))
    out |= {
        "product_norm": norm / abs(now.scale),
        "delta_norm": norm,
        "spectral_norm": top,
        "stable_rank": (norm / top) ** 2 if top else 0.0,
        "effective_rank": np.exp(-(p * np.log(p)).sum()) if top else 0.0,
        "a_norm": length(now.a),
        "b_norm": length(now.b),
    }
    if own.max():
        out |= {"relative_norm": norm / length(w), "relative_spectral_norm": top / own.max()}
    return out


def move(adapter: Adapter, d: Drawn, what: str, step: int) -> None:
    a, b = (p.detach() for p in adapter.parameters)
    if what in ("A", "both"):
        a += (d.move_size * d.size_a * noise(d, *a.shape, salt=10 + step)).to(a.dtype)
    if what in ("B", "both"):
        b += (d.move_size * d.size_b * noise(d, *b.shape, salt=20 + step)).to(b.dtype)
    if what == "scale":
        adapter.module.scaling[adapter._key] *= -(1 + d.move_size)  # pyright: ignore
    if what == "diagonal" and adapter.diagonal is not None:
        adapter.module.lora_E["default"].data *= 1 + d.move_size  # pyright: ignore
    if what == "spoil":
        (a if step else b)[0, 0] = d.spoiled
    if (m := adapter.magnitude) is not None and what != "nothing":
        m.data += (d.move_size * d.size_w * noise(d, *m.shape, salt=30 + step)).to(m.dtype)
    for parameter, size, salt in zip(adapter.parameters, (d.size_b, d.size_a), (40, 50)):
        parameter.grad = (size * noise(d, *parameter.shape, salt=salt + step)).to(parameter.dtype)


def close(got: float, want: Any, rel: float = PROMISE, absolute: float = 0.0) -> bool:
    return bool(got == pytest.approx(float(want), rel=rel, abs=absolute, nan_ok=True))


def steps(model: Any, drawn: Sequence[Drawn], inputs: Sequence[Tensor], lr: float) -> Iterator[Any]:
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=lr)
    watch = Monitor(model, optimizer)
    adapters = find_adapters(model)
    watch.engine.start()
    seen = [[look(a) for a in adapters]]
    for step in range(2):
        outputs = outputs_of(model, adapters, inputs)
        for adapter, d in zip(adapters, drawn):
            move(adapter, d, d.moves[step], step)
        seen.append([look(a) for a in adapters])
        watch.engine.after_update(1.0)
        watch.state_dict()  # which waits where numbers come a step late
        assert [alert.message for alert in watch.alerts if alert.rule == "LW901"] == []
        yield watch.last, seen, outputs


def outputs_of(model: Any, adapters: Sequence[Adapter], inputs: Sequence[Tensor]) -> list[Wide]:
    """What each frozen layer itself answers, in a forward pass that the monitor sees."""
    out: list[Wide] = []
    handles = [a.base_layer.register_forward_hook(lambda m, x, y: out.append(wide(y))) for a in adapters]  # pyright: ignore
    model(inputs)
    for handle in handles:
        handle.remove()
    return out


@settings(max_examples=settings.default.max_examples // 4)  # each is up to three layers over two steps
@given(
    drawn=st.lists(layers(), min_size=1, max_size=3),
    method=st.sampled_from(["lora", "lora", "dora", "adalora"]),
    lr=st.sampled_from([1e-5, 0.1]),
    rows=st.integers(1, 40),
    near=st.sampled_from([deferred._NEAR, frozenset()]),
)
@np.errstate(invalid="ignore")  # NaN is among what is drawn
def test_every_metric_is_true(drawn: list[Drawn], method: str, lr: float, rows: int, near: frozenset[str]) -> None:
    """``near``: without the CPU among them it is taken for an accelerator."""
    with unittest.mock.patch.object(deferred, "_NEAR", near):
        measured(drawn, method, lr, rows)


def measured(drawn: list[Drawn], method: str, lr: float, rows: int) -> None:
    model = build(drawn, method)
    adapters = find_adapters(model)
    for adapter, d in zip(adapters, drawn):
        for parameter, value in zip(adapter.parameters, factors(d, adapter.r)):
            parameter.data = value
        if method == "adalora":
            module: Any = adapter.module
            diagonal = noise(d, adapter.r, 1, salt=6) * (noise(d, adapter.r, 1, salt=7) > -0.5)
            module.lora_E["default"].data = diagonal.to(d.dtype)
    inputs = [noise(d, rows, d.d_in, salt=8).to(d.dtype) for d in drawn]
    for count, (record, seen, outputs) in enumerate(steps(model, drawn, inputs, lr), start=1):
        for i, d in enumerate(drawn):
            check(record, i, d, [moment[i] for moment in seen], inputs[i], outputs[i], wide(weight(d)), lr * count)


def check(record: StepRecord, i: int, d: Drawn, seen: list[Seen], x: Tensor, y: Wide, w: Wide, lr_sum: float) -> None:
    now, before = seen[-1], seen[-2]

    def got(name: str) -> float:
        return float(record.metrics[name].values[i])

    # ‖BA‖ < 1e-8·‖A‖‖B‖ is rounding in float64 itself: nothing is promised of it.
    if not now.finite or float(length(now.delta)) >= 1e-8 * now.size:
        for name, value in truth(now, w).items():
            assert close(got(name), value), (name, got(name), value)
    if not w.any():
        assert not record.metrics["relative_norm"].known[i]
    for name, grad in zip(("a_grad_norm", "b_grad_norm"), now.grads):
        assert close(got(name), length(wide(grad))), name
    assert close(got("predicted_norm"), abs(now.scale) * lr_sum * math.sqrt(d.d_out * len(now.a) / 3))
    assert close(got("effective_lr"), now.scale * record.lr[0])
    inside = (before.diagonal[:, None] * before.a) @ wide(x).T
    spoken, own = length(before.b @ inside), length(y)
    if not own:
        assert not record.metrics["output_ratio"].known[i]
    elif all(1e-18 < size < 1e18 for size in (length(inside), spoken, own)):  # squares fit into single precision
        terms = length(before.b) * length(before.diagonal[:, None] * before.a) * length(wide(x))
        want, rounding = abs(before.scale) * spoken / own, abs(before.scale) * 1e-7 * terms / own
        value = got("output_ratio")
        assert close(value, want, rel=1e-3, absolute=float(rounding)), ("output_ratio", value, want)
