"""The bank's own cases against explicit products in float64; ``test_every_metric`` draws whatever else there may be."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lora_watch.base import deferred
from lora_watch.measurement.norms import AdapterBank, bank, grams
from lora_watch.measurement.norms.grams import StagedGrams
from tests.norms.factors import Bare, pair, truth

PROMISE = 1e-6
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


@pytest.fixture
def staged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the way of accelerators on the CPU."""
    monkeypatch.setattr(deferred, "_NEAR", frozenset())


def assert_true(adapters: list[Bare]) -> AdapterBank:
    measured = AdapterBank(adapters)
    metrics = measured.measure()
    for i, adapter in enumerate(adapters):
        for name, value in truth(adapter).items():
            assert metrics[name].dtype == np.float64
            assert metrics[name][i] == pytest.approx(value, rel=PROMISE, abs=0), name
    return measured


# -- exactness -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("cosine", [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6])
def test_ill_conditioned_products_are_redone_when_the_grams_cannot_tell(cosine: float) -> None:
    a, b = pair(64, 96, 4, dtype=torch.float64)
    g = torch.Generator().manual_seed(1)
    nudges = [cosine * torch.randn(x.shape, generator=g, dtype=torch.float64) for x in (a, b)]
    a, b = torch.cat((a, a + nudges[0])), torch.cat((b, nudges[1] - b), 1)
    adapter = Bare((a, b))
    measured = assert_true([adapter])
    want = truth(adapter)
    assert want["product_norm"] / want["a_norm"] / want["b_norm"] < 2 * cosine
    if cosine >= 1e-2:
        assert measured.redone == 0
    if cosine <= 1e-5:
        assert measured.redone == 1
        assert measured.measure(spectrum=False)["product_norm"][0] == pytest.approx(want["product_norm"], rel=PROMISE)
        assert measured.redone == 1


@pytest.mark.parametrize("decades", [0, 1, 3, 5, 9, 15])
def test_effective_rank_sees_small_singular_values(decades: int) -> None:
    g = torch.Generator().manual_seed(0)
    q, _ = torch.linalg.qr(torch.randn(200, 16, generator=g, dtype=torch.float64))
    p, _ = torch.linalg.qr(torch.randn(300, 16, generator=g, dtype=torch.float64))
    sigma = torch.logspace(0, -decades, 16, dtype=torch.float64)
    measured = assert_true([Bare((p.T, q * sigma))])
    assert measured.redone == (decades >= 9)


def test_singular_values_that_cannot_exist_are_no_noise() -> None:
    """Most of the rank is above the smaller side, or pruned: exact zeros, for which nothing has to be redone."""
    g = torch.Generator().manual_seed(0)
    small = Bare((torch.randn(128, 300, generator=g), torch.randn(8, 128, generator=g)))
    pruned = Bare(pair(200, 150, 64), diagonal=(torch.arange(64) < 5).float())
    measured = assert_true([small, pruned])
    assert measured.redone == 0
    assert measured.measure()["effective_rank"][1] < 5


@pytest.mark.parametrize("dtype", DTYPES)
def test_long_factors_are_read_in_pieces(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grams, "HOST_PIECE", 8 * 1000)
    assert_true([Bare(pair(700, 333, 6, dtype=dtype)), Bare(pair(20, 1500, 3, 1, dtype))])


def test_more_adapters_than_are_solved_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bank, "_BATCH", 100)
    assert_true([Bare(pair(20 + i, 30, r, i)) for r in (3, 5) for i in range(13)])


# -- what is special -------------------------------------------------------------------------------------------------
def test_fresh_adapter_is_zero_with_zero_ranks() -> None:
    a, b = pair(30, 20, 4)
    metrics = AdapterBank([Bare((a, torch.zeros_like(b)), scale=2.0)]).measure()
    for name in ("product_norm", "delta_norm", "spectral_norm", "stable_rank", "effective_rank", "b_norm"):
        assert metrics[name][0] == 0, name
    assert metrics["a_norm"][0] > 0


@pytest.mark.parametrize("way", ["host", "staged"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("factor", [0, 1])
def test_broken_adapter_is_nan_and_the_others_are_right(
    way: str, bad: float, factor: int, request: pytest.FixtureRequest
) -> None:
    if way == "staged":
        request.getfixturevalue("staged")
    adapters = [Bare(pair(30, 20, 4, seed), scale=2.0) for seed in range(3)]
    adapters[1].factors()[0][factor][0, 0] = bad
    measured = AdapterBank(adapters)
    metrics = measured.measure()
    assert measured.known.all()
    for name, values in metrics.items():
        assert np.isnan(values[1]) == (name != "scale"), name
        for i in (0, 2):
            assert values[i] == pytest.approx(truth(adapters[i])[name], rel=PROMISE)


def test_broken_diagonal_is_nan() -> None:
    metrics = AdapterBank([Bare(pair(30, 20, 4), diagonal=torch.tensor([1.0, np.nan, 1.0, 1.0]))]).measure()
    assert np.isnan(metrics["delta_norm"][0])


def test_unreadable_adapter_is_unknown() -> None:
    measured = AdapterBank([Bare(scale=3.0), Bare(pair(30, 20, 4))])
    metrics = measured.measure()
    assert measured.known.tolist() == [False, True]
    assert metrics["scale"][0] == 3.0
    assert all(np.isnan(values[0]) for name, values in metrics.items() if name != "scale")
    assert all(np.isfinite(values[1]) for values in metrics.values())


def test_no_adapters() -> None:
    assert {values.shape for values in AdapterBank([]).measure().values()} == {(0,)}


def test_without_the_spectrum_the_rest_is_the_same() -> None:
    measured = AdapterBank([Bare(pair(30, 20, 4), scale=0.5), Bare(pair(25, 50, 8))])
    whole, part = measured.measure(), measured.measure(spectrum=False)
    assert set(whole) - set(part) == {"spectral_norm", "stable_rank", "effective_rank"}
    for name, values in part.items():
        np.testing.assert_array_equal(values, whole[name])


def test_factors_are_read_anew_each_time() -> None:
    a, b = pair(30, 20, 4)
    measured = AdapterBank([Bare((a, b))])
    before = measured.measure()["delta_norm"][0]
    b *= 3
    assert measured.measure()["delta_norm"][0] == pytest.approx(3 * before)


@pytest.mark.parametrize("way", ["host", "staged"])
def test_several_blocks_are_one_block_diagonal_change(way: str, request: pytest.FixtureRequest) -> None:
    if way == "staged":
        request.getfixturevalue("staged")
    blocks = [pair(12, 9, 3, 0), pair(7, 20, 5, 1), pair(15, 6, 3, 2)]
    diagonal = None
    whole = Bare((torch.block_diag(*(a for a, _ in blocks)), torch.block_diag(*(b for _, b in blocks))), scale=2.0)
    parts = Bare(*blocks, scale=2.0, diagonal=diagonal)
    measured = AdapterBank([Bare(pair(4, 4, 3)), parts]).measure()
    for name, value in truth(whole).items():
        assert measured[name][1] == pytest.approx(value, rel=PROMISE), name


@pytest.mark.parametrize("way", ["host", "staged"])
def test_every_singular_value_largest_first(way: str, request: pytest.FixtureRequest) -> None:
    if way == "staged":
        request.getfixturevalue("staged")
    broken = pair(9, 9, 2)
    broken[0][0, 0] = torch.nan
    low = pair(30, 20, 6, 5)
    low[1][:, 2] = 0.0
    adapters = [Bare(pair(12, 9, 3), scale=-2.0), Bare(pair(7, 20, 5, 1), pair(15, 6, 3, 2)), Bare(broken), Bare(low)]
    bank = AdapterBank(adapters)
    bank.measure(spectrum=False)
    assert bank.spectrum is None
    top = bank.measure()["spectral_norm"]
    assert bank.spectrum is not None
    want = np.full((4, 8), np.nan)
    for row, adapter in zip(want, adapters):
        products = [(b.double() @ a.double()).numpy() * adapter.scale for a, b in adapter.factors()]
        if all(np.isfinite(product).all() for product in products):
            sigmas = [np.linalg.svd(p, compute_uv=False)[: len(a)] for p, (a, _) in zip(products, adapter.factors())]
            union = np.sort(np.concatenate(sigmas))[::-1]
            row[: len(union)] = union
    want[3, 5] = 0.0  # the pruned direction
    np.testing.assert_allclose(bank.spectrum, want, rtol=1e-5, atol=1e-12)
    np.testing.assert_array_equal(bank.spectrum[:, 0], top)


# -- the way of accelerators, on the CPU -----------------------------------------------------------------------------
def _zoo() -> list[Bare]:
    shapes = [(40, 30, 4), (40, 30, 4), (64, 30, 4), (40, 30, 8), (10, 300, 8), (3, 2, 4)]
    zoo = [Bare(pair(*shape, seed=i, dtype=dtype)) for i, shape in enumerate(shapes) for dtype in DTYPES]
    zoo[5].diagonal = torch.rand(4)
    zoo[6].diagonal = torch.rand(4)
    return zoo


@pytest.mark.usefixtures("staged")
def test_staged_equals_truth() -> None:
    assert_true(_zoo())


@pytest.mark.parametrize("limit", [1, 20_000, 1 << 20])
def test_staging_in_rounds_equals_one_by_one(limit: int) -> None:
    zoo = _zoo()
    blocks, diagonals = [z.factors()[0] for z in zoo], [z.diagonal for z in zoo]
    staged = StagedGrams(blocks, diagonals, limit)
    results = staged.of(blocks, diagonals)().numpy()
    for i, ((a, b), diagonal) in enumerate(zip(blocks, diagonals)):
        (gram_a,), (gram_b,), read = staged.reader([i])(results)
        np.testing.assert_allclose(gram_a, (a.double() @ a.double().T).numpy(), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(gram_b, (b.double().T @ b.double()).numpy(), rtol=1e-12, atol=1e-12)
        assert (read is None) == (diagonal is None)
        if read is not None and diagonal is not None:
            np.testing.assert_array_equal(read[0], diagonal.double().numpy())


@pytest.mark.usefixtures("staged")
def test_staging_is_rebuilt_when_a_rank_changes() -> None:
    adapters = [Bare(pair(40, 30, 8)), Bare(pair(40, 30, 8, 1))]
    measured = AdapterBank(adapters)
    measured.measure()
    adapters[0]._blocks = Bare(pair(40, 30, 5, 2)).factors()  # type: ignore[assignment]
    metrics = measured.measure()
    for i, adapter in enumerate(adapters):
        assert metrics["effective_rank"][i] == pytest.approx(truth(adapter)["effective_rank"], rel=PROMISE)


class Watch(TorchDispatchMode):
    """Counts operations that do work (not views), and the largest tensor any of them returned."""

    def __init__(self) -> None:
        super().__init__()
        self.work: list[str] = []
        self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not func.is_view and func.overloadpacket is not torch.ops.aten.detach:
            self.work.append(str(func))
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, Tensor):
                self.largest = max(self.largest, tensor.numel())
        return out


@pytest.mark.parametrize("count", [4, 40])
@pytest.mark.parametrize("way", ["host", "staged"])
def test_staging_takes_few_operations_however_many_adapters(
    count: int, way: str, request: pytest.FixtureRequest
) -> None:
    if way == "staged":
        request.getfixturevalue("staged")
    blocks = [Bare(pair(*((40, 30, 4) if i % 2 else (64, 40, 4)), seed=i)).factors()[0] for i in range(count)]
    diagonals = [None] * count
    grams = StagedGrams(blocks, diagonals)
    with Watch() as seen:
        grams.of(blocks, diagonals)()
    # 4 shapes: A of two widths, B of two heights
    filling = ["aten._foreach_copy_.default"] if way == "staged" else ["aten.cat.default", "aten.copy_.default"] * 4
    assert sorted(seen.work) == sorted([*filling, *["aten.bmm.out"] * 4])


@pytest.mark.parametrize("way", ["host", "staged"])
def test_nothing_as_large_as_a_product_is_ever_made(way: str, request: pytest.FixtureRequest) -> None:
    if way == "staged":
        request.getfixturevalue("staged")
    adapters = [Bare(pair(1024, 1024, 8, seed)) for seed in range(4)]
    measured = AdapterBank(adapters)
    with Watch():  # torch imports a lot when the first dispatch mode is entered
        measured.measure()
    tracemalloc.start()
    with Watch() as seen:
        measured.measure()
    peak = tracemalloc.get_traced_memory()[1]  # numpy's arrays
    tracemalloc.stop()
    assert 0 < seen.largest <= 4 * 2 * 1024 * 8
    assert peak < 1024 * 1024


def test_host_memory_does_not_grow_with_the_number_of_adapters() -> None:
    measured = AdapterBank([Bare(pair(32, 32, 16, seed)) for seed in range(600)])
    with Watch():
        measured.measure()
    tracemalloc.start()
    with Watch() as seen:
        measured.measure()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20
    assert seen.largest <= grams.HOST_PIECE // 8


def test_a_small_model_is_batched_from_its_second_measurement_on_and_says_the_same() -> None:
    measured = AdapterBank(_zoo())
    first, second = measured.measure(), measured.measure()
    assert measured._staging, "the second time they were batched, or this test says nothing"
    for name, values in first.items():
        assert second[name] == pytest.approx(values, rel=1e-9, nan_ok=True), name
