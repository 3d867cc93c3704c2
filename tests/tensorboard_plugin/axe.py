"""axe-core, which finds what a page's own markup keeps from people; installed beside the front end's other tools."""

from typing import Any

from tests.front_end.check import TOOLS, install

_FINDINGS = """async () => (await axe.run(document)).violations
    .map(({id, nodes}) => [id, nodes.slice(0, 3).map((node) => node.html.slice(0, 200))])"""


def findings(frame: Any) -> list[Any]:
    """What axe-core finds in the page as it is now."""
    install()
    frame.evaluate((TOOLS / "axe-core" / "axe.min.js").read_text(encoding="utf-8"))
    return frame.evaluate(_FINDINGS)
