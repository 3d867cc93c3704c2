"""Files that anybody may have written are read up to a size, or refused with an error that a command can show."""

from pathlib import Path

import pytest

from lora_watch.base.untrusted import load_json, load_yaml, matches_end, parse_json


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "hole", "wb") as file:
        file.truncate(10**12)
    with pytest.raises(OSError, match="larger than"):
        load_json(tmp_path / "hole")


@pytest.mark.parametrize("content", ["[" * 200_000, "1" * 5000, "{"])
def test_what_is_no_json_is_a_value_error(content: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_json(content)


@pytest.mark.parametrize("content", ["[" * 5000, "a: [", "!!python/object:os.system {}", "a: \x00"])
def test_what_is_no_yaml_is_a_value_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.yaml").write_text(content)
    with pytest.raises(ValueError, match=r"\w"):
        load_yaml(tmp_path / "x.yaml")


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


@pytest.mark.parametrize("pattern", ["(", "a**"])
def test_a_key_that_is_no_regular_expression_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="regular expression"):
        matches_end(pattern, "a")
