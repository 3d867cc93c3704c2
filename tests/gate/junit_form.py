"""The form of JUnit XML that Jenkins' xUnit plugin accepts (its schema ``junit-10.xsd``), as far as we use it.

``broken_rules`` names each breach: an element where it may not be, an attribute that is unknown or missing, text
where there may be none. What GitLab asks for beyond that is checked as well.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from xml.etree import ElementTree


class Form(NamedTuple):
    required: set[str]
    allowed: set[str]
    children: set[str]
    text: bool


_OUTCOME = Form(set(), {"type", "message"}, set(), text=True)
FORMS = {
    "testsuites": Form(set(), {"name", "time", "tests", "failures", "errors"}, {"testsuite"}, text=False),
    "testsuite": Form(
        {"name", "tests", "failures", "errors"},
        {"group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"},
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
        text=False,
    ),
    "testcase": Form(
        {"name"},
        {"time", "classname", "group"},
        {"skipped", "error", "failure", "system-out", "system-err"},
        text=False,
    ),
    "failure": _OUTCOME,
    "error": _OUTCOME,
    "skipped": _OUTCOME,
    "system-out": Form(set(), set(), set(), text=True),
}


def broken_rules(document: bytes) -> list[str]:
    """Raises ElementTree.ParseError where it is no XML at all."""
    root = ElementTree.fromstring(document)
    broken = [] if root.tag == "testsuites" else [f"the root is {root.tag}"]
    names: list[tuple[str | None, str | None]] = []
    for element in root.iter():
        form = FORMS.get(element.tag)
        if form is None:
            broken.append(f"unknown element {element.tag}")
            continue
        given = set(element.keys())
        broken += [f"{element.tag} lacks {name}" for name in form.required - given]
        broken += [f"{element.tag} has {name}" for name in given - form.required - form.allowed]
        broken += [f"{element.tag} holds {child.tag}" for child in element if child.tag not in form.children]
        if not form.text and (element.text or "").strip():
            broken.append(f"{element.tag} holds text")
        if element.tag == "testsuite":
            for what, path in (("tests", "testcase"), ("failures", "testcase/failure"), ("errors", "testcase/error")):
                if element.get(what) != str(len(element.findall(path))):
                    broken.append(f"{what} is not their number")
            if not re.fullmatch(r"(\d*(\.\d*)?)?", element.get("time", "")):
                broken.append("time is no number")
        if element.tag == "testcase":
            names.append((element.get("classname"), element.get("name")))
            if len(element) > 1:
                broken.append("a test case with two outcomes: GitLab reads one")
    if len(set(names)) != len(names):
        broken.append("two test cases of one name: GitLab drops the second")
    return broken
