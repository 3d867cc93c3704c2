"""What GitHub's runner makes of a build log: the commands it would obey, with their texts restored.

A line whose first characters, blanks aside, are ``::name key=value,…::`` is a command, and so is ``##[name]`` anywhere
in a line. The runner undoes ``%0D``, ``%0A`` and last ``%25``; in a value also ``%3A`` and ``%2C``.
"""

import re
from typing import NamedTuple


class Command(NamedTuple):
    name: str
    properties: dict[str, str]
    message: str


def commands(log: str) -> list[Command]:
    found = []
    for line in re.split(r"\r\n|\r|\n", log):
        if match := re.match(r"\s*::([\w-]+)(?: (.*?))?::(.*)", line, re.DOTALL):
            pairs = (pair.split("=", 1) for pair in (match[2] or "").split(",") if "=" in pair)
            properties = {key.strip(): _restored(value, ("%3A", ":"), ("%2C", ",")) for key, value in pairs}
            found.append(Command(match[1], properties, _restored(match[3])))
        elif match := re.search(r"##\[([\w-]+).*?\](.*)", line):
            found.append(Command(match[1], {}, match[2]))
    return found


def _restored(text: str, *more: tuple[str, str]) -> str:
    for code, character in (("%0D", "\r"), ("%0A", "\n"), *more, ("%25", "%")):
        text = text.replace(code, character)
    return text
