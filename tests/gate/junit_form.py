"""The form of JUnit XML that Jenkins' xUnit plugin accepts (its schema ``junit-10.xsd``), as far as we use it, and what
GitLab asks for beyond that. ``broken_rules`` names each breach.
"""

from xml.etree import ElementTree

CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"testcase"},
    "testcase": {"failure", "error", "skipped", "system-out"},
    "failure": set(),
    "error": set(),
    "skipped": set(),
    "system-out": set(),
}
ATTRIBUTES = {
    "testsuites": {"name", "tests", "failures", "errors"},
    "testsuite": {"name", "tests", "failures", "errors", "timestamp"},
    "testcase": {"name", "classname"},
    "failure": {"type", "message"},
    "error": {"type", "message"},
    "skipped": {"message"},
    "system-out": set(),
}


def broken_rules(document: bytes) -> list[str]:
    """Raises ElementTree.ParseError where it is no XML at all."""
    root = ElementTree.fromstring(document)
    broken = [] if root.tag == "testsuites" else [f"the root is {root.tag}"]
    for element in root.iter():
        broken += [f"{element.tag} has {name}" for name in set(element.keys()) - ATTRIBUTES[element.tag]]
        broken += [f"{element.tag} holds {child.tag}" for child in element if child.tag not in CHILDREN[element.tag]]
        if element.tag == "testsuite":
            for what, path in (("tests", "testcase"), ("failures", "testcase/failure"), ("errors", "testcase/error")):
                if element.get(what) != str(len(element.findall(path))):
                    broken.append(f"{what} is not their number")
        if element.tag == "testcase" and len(element) > 1:
            broken.append("a test case with two outcomes: GitLab reads one")
    names = [(case.get("classname"), case.get("name")) for case in root.iter("testcase")]
    if len(set(names)) != len(names):
        broken.append("two test cases of one name: GitLab drops the second")
    return broken
