"""Files that anybody may have written are read in bounded time and memory, or refused."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from lora_watch.base.untrusted import load_json, load_yaml, matches_end, parse_json, read_bytes, within


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for path in (tmp_path / "fifo", tmp_path / "zero", tmp_path):
        with pytest.raises(OSError, match="regular file"):
            read_bytes(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "hole", "wb") as file:
        file.truncate(10**12)
    with pytest.raises(OSError, match="larger than"):
        load_json(tmp_path / "hole")


@pytest.mark.parametrize("content", ["[" * 200_000, "[0" + ",0" * 3_000_000 + "]", "1" * 5000, "{", "[{},{}" * 300_000])
def test_json_that_would_take_too_much_is_a_value_error(content: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_json(content)


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi")
)


@pytest.mark.parametrize(
    "content", [LAUGHS, "a: &a [*a]", "[" * 5000, "a: [", "!!python/object:os.system {}", "a: \x00"]
)
def test_yaml_that_grows_holds_itself_or_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.yaml").write_text(content)
    began = time.monotonic()
    with pytest.raises(ValueError, match=r"\w"):
        load_yaml(tmp_path / "x.yaml")
    assert time.monotonic() - began < 5


def test_yaml_with_an_alias_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: &a {r: 8}\nb: {<<: *a, alpha: 16}\nc: [*a, *a]\n")
    assert load_yaml(tmp_path / "x.yaml")["b"] == {"r": 8, "alpha": 16}


NAME = "model.layers.12.self_attn.q_proj"


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("q_proj", True),
        ("proj", False),
        (r"layers\.12\.self_attn\.q_proj", True),
        (r"layers.\d+.self_attn.(q|k)_proj", True),
        (r"model\.layers\.(1[0-5])\..*q_proj", True),
        ("^q_proj", False),
    ],
)
def test_a_key_matches_as_peft_has_it(pattern: str, matches: bool) -> None:
    assert matches_end(pattern, NAME) is matches


@pytest.mark.parametrize("pattern", ["(", "a**", "a{0,9}{0,9}{0,9}"])
def test_a_key_that_is_no_regular_expression_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="regular expression"):
        matches_end(pattern, "a" * 5000)


@pytest.mark.skipif(os.name == "nt", reason="no timer")
@pytest.mark.parametrize("pattern", [r"((\w|\.)+)+!", "(a*)*b", "a*a*a*a*a*b", "a?" * 40 + "a" * 40 + "!"])
def test_a_key_that_takes_for_ever_is_given_up(pattern: str) -> None:
    before = signal.getsignal(signal.SIGVTALRM)
    with pytest.raises(ValueError, match=r"matching .*\b0\.05 s"), within(0.05, "matching"):
        matches_end(pattern, "a" * 5000)
    assert signal.getsignal(signal.SIGVTALRM) is before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


def test_where_there_is_no_timer_nothing_is_bounded() -> None:
    done = []

    def elsewhere() -> None:
        with within(0.0, "nothing"):
            done.append(matches_end("a", "a"))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert done == [True]
