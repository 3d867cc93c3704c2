"""The device itself: each thing that it is strict about is seen."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.device import strict
from tests.support import DEVICE


def on(*values: float) -> Tensor:
    return torch.tensor(values, device=DEVICE)


def test_the_host_cannot_read_its_memory() -> None:
    import ctypes

    place = on(1.0, 2.0).data_ptr()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        ctypes.c_float.from_address(place).value  # noqa: B018
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGSEGV
    with pytest.raises(TypeError, match="numpy"):
        on(1.0).numpy()


@pytest.mark.parametrize("pinned", [True, False])
def test_a_copy_that_need_not_block_arrives_when_it_is_waited_for(pinned: bool) -> None:
    source, target = on(1.0, 2.0), torch.zeros(2, pin_memory=pinned)
    before, after = (torch.strict.Event() for _ in range(2))  # type: ignore[attr-defined]
    before.record()
    target.copy_(source, non_blocking=True)
    after.record()
    source.zero_()
    before.synchronize()
    assert target.isnan().all()
    after.synchronize()
    assert target.tolist() == [1.0, 2.0], "as it was when the copy was asked for"


def test_memory_that_nothing_has_written_to_is_nan() -> None:
    assert torch.empty(5, device=DEVICE).cpu().isnan().all()


@pytest.mark.parametrize(
    "mixed",
    [
        lambda x: x + torch.ones(2),
        lambda x: torch.nn.functional.embedding(torch.tensor([0]), x.view(1, 2)),
        lambda x: torch.cat((x, torch.ones(2))),
    ],
)
def test_a_tensor_of_the_cpus_is_refused(mixed: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(RuntimeError, match="same device"):
        mixed(on(1.0, 2.0))
    assert (on(1.0, 2.0) * torch.tensor(2.0))[torch.tensor([1])].item() == 4, (
        "but numbers and indices are not, as on CUDA"
    )


@pytest.mark.parametrize(
    ("what", "wait"),
    [
        ("item", lambda x: x[0].item()),
        ("item", lambda x: bool(x[0])),
        ("copy to the host", lambda x: x.cpu()),
        ("copy from the host", lambda x: x.copy_(torch.ones(2))),
        ("aten::nonzero", lambda x: x.nonzero()),
        ("aten::nonzero", lambda x: x[x > 0]),
        ("aten::equal", lambda x: torch.equal(x, x)),
        ("device", lambda x: torch.accelerator.synchronize()),
        ("stream", lambda x: torch.accelerator.current_stream().synchronize()),
    ],
)
def test_whoever_waits_is_noted_with_the_stack(what: str, wait: Callable[[Tensor], object]) -> None:
    x = on(1.0, 2.0)
    with strict.waits() as noted:
        torch.stack((x, x)).sum(0).clone()
        assert noted == []
        wait(x)
    assert [each.what for each in noted] == [what]
    assert any(__file__ in frame for frame in noted[0].stack)
    assert not noted[0].ours


def test_its_random_numbers_are_its_own() -> None:
    host, state = torch.get_rng_state(), torch.strict.get_rng_state()  # type: ignore[attr-defined]
    drawn = torch.nn.functional.dropout(torch.ones(50, device=DEVICE), 0.5)
    assert torch.equal(host, torch.get_rng_state())
    torch.strict.set_rng_state(state)  # type: ignore[attr-defined]
    assert torch.equal(drawn, torch.nn.functional.dropout(torch.ones(50, device=DEVICE), 0.5))
    one, same = (torch.randn(3, device=DEVICE, generator=torch.Generator(DEVICE).manual_seed(1)) for _ in range(2))
    assert torch.equal(one, same)


def test_what_it_may_refuse() -> None:
    x, half = torch.ones(2, 2, device=DEVICE), torch.ones(2, 2, device=DEVICE, dtype=torch.bfloat16)
    strict.refuse({"float64", "half_products"})
    try:
        for widen in (
            lambda: x.double(),
            lambda: x.to("cpu", torch.float64),
            lambda: x.new_zeros(1, dtype=torch.double),
        ):
            with pytest.raises(TypeError, match="float64"):
                widen()
        with pytest.raises(RuntimeError, match="BFloat16"):
            half @ half
        assert (x @ x).cpu().double().sum() == 8
    finally:
        strict.refuse()


def test_autocast_makes_products_in_half_precision() -> None:
    x = torch.ones(2, 2, device=DEVICE)
    with torch.autocast(DEVICE.type, torch.bfloat16):
        assert torch.nn.functional.linear(x, x).dtype == torch.bfloat16
        assert torch.nn.functional.softmax(x.bfloat16(), dim=-1).dtype == torch.float32
