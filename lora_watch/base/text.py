"""Small pieces of text: names of unknown origin made harmless, numbers made short, curves drawn in one line."""

import difflib
import itertools
import math
import shutil
import statistics
import textwrap
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from typing import TextIO

LONGEST = 2000
"""Characters of one text that are kept: no name or message of ours comes near it."""
_BARS = "▁▂▃▄▅▆▇█"


def clean(text: object) -> str:
    """``text`` as one printable line.

    Names and messages in a run's files come from a model and a training script, and end up in terminals, build logs
    and XML. Control characters, line breaks, invisible and invalid characters are shown as their escapes, so that
    none can move a cursor, begin a line or make a document invalid; ``##[``, which old runners of GitHub obey
    anywhere in a line, is broken up.
    """
    text = str(text)
    if len(text) > LONGEST:
        text = text[:LONGEST] + " …"
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return text.replace("##[", "## [")


def formula(of: str) -> str:
    """A ``scale_formula`` as people write it: ``alpha/√r``."""
    return of.replace("sqrt(r)", "√r")


def short(value: float | None, digits: int = 4) -> str:
    """A number as people read it, a large one without an exponent; ``?`` where it is unknown, and NaN."""
    if value is None or math.isnan(value):
        return "?" if value is None else "NaN"
    rounded = f"{value + 0.0:.{digits}g}"  # -0.0 + 0.0 is 0.0
    return f"{float(rounded):,.0f}" if "e+" in rounded and abs(value) < 1e12 else rounded


def plain(value: float) -> str:
    """A measured number in three digits, without an exponent where people can do without one: 810, 0.0017."""
    value += 0.0  # -0.0 becomes 0.0
    if not math.isfinite(value) or (value and not 1e-4 <= abs(value) < 1e7):
        return f"{value:.3g}"
    digits = f"{value:.{max(2 - math.floor(math.log10(abs(value) or 1.0)), 0)}f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else f"{float(f'{value:.3g}'):.0f}"


def adapters(training: int, resting: int) -> str:
    """``28 adapters``, or ``14 of 28 adapters`` where the others do not train."""
    return f"{training} of {count(training + resting, 'adapter')}" if resting else count(training, "adapter")


def times(factor: float) -> str:
    """A factor in one figure, in two below 3: ``8 times``, ``250 times``."""
    if not math.isfinite(factor) or factor >= 1e6:
        return "more than a million times"
    digits = 2 if f"{factor:e}"[0] in "12" else 1
    return f"{float(f'{factor:.{digits}g}'):g} times"


def percent(share: float) -> str:
    """``1.7 %``."""
    return f"{plain(float(f'{100 * share:.2g}'))} %"


def mean_and_spread(values: Sequence[float]) -> str:
    """``1.234 ± 0.005``: the mean and the standard deviation from run to run; a dash without values."""
    if not values:
        return "–"
    return short(statistics.fmean(values)) + (f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else "")


def finite_mean(values: Collection[float]) -> float | None:
    """The mean of those that are finite; NaN where these are less than half, None of no values."""
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if 2 * len(finite) >= max(len(values), 1) else math.nan if values else None


def last_tenth(losses: Sequence[float], step: int) -> float | None:
    """The loss of a run of ``step`` steps: the ``finite_mean`` of the last tenth; None where it is no number."""
    mean = finite_mean(losses[-max(1, step // 10) :])
    return None if mean is None or math.isnan(mean) else mean


def sparkline(values: Sequence[float | None], width: int = 24) -> str:
    """``values`` as at most ``width`` bars between their least and greatest, each the ``finite_mean`` of its share: NaN
    is shown as ``!``, a share without a number is blank. Empty for fewer than two."""
    if len(values) < 2:
        return ""
    edges = [round(i * len(values) / min(width, len(values))) for i in range(min(width, len(values)) + 1)]
    means = [finite_mean([x for x in values[a:b] if x is not None]) for a, b in itertools.pairwise(edges)]
    finite = [mean for mean in means if mean is not None and math.isfinite(mean)]
    low, top = min(finite, default=0.0), len(_BARS) - 1
    span = max(finite, default=0.0) - low or 1.0  # of equal values each is the lowest bar

    def bar(mean: float) -> str:
        return _BARS[round((mean - low) / span * top)] if math.isfinite(mean) else "!"

    return "".join(" " if mean is None else bar(mean) for mean in means)


def first_of(things: Collection[str], most: int) -> str:
    """``a, b, c and 4 more``."""
    more = f" and {len(things) - most} more" if len(things) > most else ""
    return ", ".join(list(things)[:most]) + more


def middle(text: str, most: int) -> str:
    """``text`` in at most ``most`` characters, cut in the middle: names differ at their ends."""
    return text if len(text) <= most else f"{text[: (most - 1) // 2]}…{text[-(most // 2) :]}"


def count(number: int, thing: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def meant(word: str, known: Iterable[str]) -> str:
    """A hint at the nearest of ``known``, in brackets; empty where none is near."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" (is {near[0]!r} meant?)" if near else ""


def say(text: str, stream: TextIO | None) -> None:
    """Print ``text`` at once; a terminal that has no ‖ still gets the numbers. Under pythonw there is no stream."""
    if stream is not None:
        encoding = getattr(stream, "encoding", None) or "utf-8"
        print(text.encode(encoding, "replace").decode(encoding), file=stream, flush=True)


def sentence(text: str) -> str:
    """``text`` as a line that stands alone: a capital letter, unless code comes first, and a full stop."""
    first = text.split(" ")[0]
    text = text[:1].upper() + text[1:] if first.isalpha() else text
    return full_stop(text)


def full_stop(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def columns() -> int:
    """Those of the terminal, from 60 to 120; 120 where there is none."""
    return max(min(shutil.get_terminal_size((120, 24)).columns, 120), 60)


def wrapped(line: str, width: int, indent: str = "") -> list[str]:
    """``line`` in rows of at most ``width`` columns, all but the first indented by four more."""
    rows = textwrap.TextWrapper(width, indent, f"{indent}    ", break_long_words=False, break_on_hyphens=False)
    return rows.wrap(line) or [indent]


def width(text: str) -> int:
    """Columns of a screen that ``text`` takes: 模 is twice as wide as m, and an accent takes none."""
    return sum(1 + (unicodedata.east_asian_width(c) in "WF") - bool(unicodedata.combining(c)) for c in text)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> list[str]:
    """Lines of aligned columns under ``headings``, which may hold line breaks: to the right, but those of ``left``."""
    broken = [heading.split("\n") for heading in headings]
    high = max(map(len, broken))
    heads = zip(*([""] * (high - len(each)) + each for each in broken))
    lines = [*heads, *rows]
    widths = [max(map(width, column)) for column in zip(*lines)]

    def aligned(place: int, cell: str) -> str:
        blank = " " * (widths[place] - width(cell))
        return cell + blank if place in left else blank + cell

    return ["  ".join(aligned(*each) for each in enumerate(line)).rstrip() for line in lines]
