"""An alert is the same after it has been written and read."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_watch.base import markup
from lora_watch.base.alerts import Alert, Severity
from lora_watch.base.strict_json import strict_json
from tests.sinks.made_up import alert_of

names = st.text(st.characters(categories=["L", "N", "P"]), max_size=12).filter(lambda text: "##[" not in text)
steps = st.integers(0, 2**40)


@given(
    st.builds(
        Alert,
        rule=names,
        name=names,
        severity=st.sampled_from(Severity),
        step=steps,
        message=names,
        adapters=st.lists(st.tuples(names, st.floats(allow_nan=False, allow_infinity=False)), max_size=3),
        metric=st.none() | names,
        threshold=st.none() | st.floats(allow_nan=False),
        causes=st.lists(names, max_size=3),
        remedies=st.lists(names, max_size=3),
        settings=st.dictionaries(names, st.floats(allow_nan=False), max_size=3),
        last_step=steps,
        closed_step=st.none() | steps,
    )
)
def test_what_is_written_is_read_back(alert: Alert) -> None:
    assert Alert.from_dict(json.loads(strict_json(alert.to_dict()))) == alert


def test_every_text_is_made_inert() -> None:
    serialised = alert_of(causes=["a\x1b[2Jb"], settings={"lora\nalpha": 4}, adapters=[("q\u202eproj", 1)]).to_dict()
    read = Alert.from_dict(serialised)
    assert (read.causes, read.settings, read.adapters) == (
        ["a\\x1b[2Jb"],
        {"lora\\nalpha": 4.0},
        [("q\\u202eproj", 1.0)],
    )


@pytest.mark.parametrize(
    "change",
    [
        {"step": -1},
        {"step": None},
        {"step": 10**30},
        {"severity": "dreadful"},
        {"severity": 3},
        {"adapters": [{"name": "a"}]},
        {"threshold": 10**400},
        {"settings": [1]},
        {"closed_step": float("inf")},
    ],
)
def test_what_is_no_alert_is_a_value_error(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"severity|no alert|steps"):
        Alert.from_dict(alert_of().to_dict() | change)


def test_a_notebook_gets_html_in_which_no_name_is_markup() -> None:
    alert = alert_of(3)
    alert.adapters = [("<script>&\x1b[2J", 1.0)]
    shown = markup.lines(str(alert))
    text = "".join(ElementTree.fromstring(shown).itertext())
    assert text == str(alert)
    assert "<script" in text
    assert "<script" not in shown
