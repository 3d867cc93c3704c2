"""The rules, the catalogue of those that ship, and how a run's set is chosen."""

import copy
import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lora_watch.base.alerts import Severity
from lora_watch.rules.base import Finding, Rule
from lora_watch.rules.episodes import Episodes
from lora_watch.rules.evaluation import WorseOnOtherTexts
from lora_watch.rules.labels import FirstLossTooHigh, LossExactlyZero
from lora_watch.rules.loss import LossDivergence, LossSpike, StuckAtChance
from lora_watch.rules.non_finite import NonFiniteAdapter, NonFiniteLoss
from lora_watch.rules.norms import BarelyMoves, NormExplosion
from lora_watch.rules.reward import ReferenceIsTheBase, RewardNotRising, RewardsAllEqual, StaleRollouts
from lora_watch.rules.saving import MergeLosesUpdate, ResumedAnew, SavedAdapterDiffers
from lora_watch.rules.settings import AggressiveScale, WarmUpTooLong
from lora_watch.rules.updates import BaseWeightsMoved, OddRates, UpdatesLost
from lora_watch.rules.wiring import AdaptersNotTrained, NoGradient, ReplicasDiffer, TargetMatchedNothing

# Rules are asked in this order: one that explains others stands before them.
__all__ = [  # noqa: RUF022
    "AdaptersNotTrained",
    "ReplicasDiffer",
    "SavedAdapterDiffers",
    "ResumedAnew",
    "NonFiniteAdapter",
    "NonFiniteLoss",
    "LossExactlyZero",
    "StaleRollouts",
    "NormExplosion",
    "NoGradient",
    "OddRates",
    "UpdatesLost",
    "BaseWeightsMoved",
    "BarelyMoves",
    "RewardsAllEqual",
    "LossDivergence",
    "LossSpike",
    "WorseOnOtherTexts",
    "FirstLossTooHigh",
    "StuckAtChance",
    "RewardNotRising",
    "MergeLosesUpdate",
    "AggressiveScale",
    "WarmUpTooLong",
    "ReferenceIsTheBase",
    "TargetMatchedNothing",
    "Episodes",
    "Finding",
    "Rule",
    "catalogue",
    "choose",
    "id_called",
]


def catalogue() -> list[Rule]:
    """A fresh instance of every rule with its default thresholds, in the order in which they are asked."""
    named = [globals()[name] for name in __all__]
    return [kind() for kind in named if isinstance(kind, type) and issubclass(kind, Rule) and kind is not Rule]


def choose(rules: Iterable[Rule] | None = None, mute: Sequence[str] = ()) -> list[Rule]:
    """The catalogue with ``rules`` put in (in place of the one with the same id, else added) and ``mute`` taken out.

    Of ``rules`` it takes copies: a rule has state, and whoever gave it may give it to the next run as well.
    ``mute`` holds ids or names. Raises ValueError for one that no rule has, and for ``rules`` that are none.
    """
    given = [] if rules is None else [*rules] if isinstance(rules, Iterable) else [rules]
    if not all(isinstance(rule, Rule) for rule in given):
        raise ValueError(f"rules: a list of rules is wanted, such as [NormExplosion(threshold=8.0)], and not {rules!r}")
    for rule in given:
        kinds = {"id": str, "severity": Severity}
        if missing := [name for name, kind in kinds.items() if not isinstance(getattr(rule, name, None), kind)]:
            raise ValueError(
                f"rules: {type(rule).__name__} has no {' and no '.join(missing)}: set it in the class, such as "
                'id = "MY001", severity = Severity.WARNING'
            )
    chosen = {rule.id: rule for rule in catalogue()} | {rule.id: copy.deepcopy(rule) for rule in given}
    names = {rule.id: rule.name for rule in chosen.values()}
    muted = {id_called(word, names) for word in mute}
    return [rule for rule in chosen.values() if rule.id not in muted]


def id_called(word: Any, names: Mapping[str, str]) -> str:
    """The id in ``names`` that is ``word`` or whose name is, in any case. Raises ValueError when none is, and suggests
    one."""
    wanted = str(word).lower()
    for rule, name in names.items():
        if wanted in (rule.lower(), name):
            return rule
    known = {key.lower(): f"{rule} ({name})" for rule, name in names.items() for key in (rule, name)}
    # One wrong character of an id is a slip; with two it is any other id as well.
    near = difflib.get_close_matches(wanted, known, n=1, cutoff=0.8 if wanted.startswith("lw") else 0.6)
    hint = f"did you mean {known[near[0]]}?" if near else "`lora-watch rules` lists them"
    raise ValueError(f"no rule is called {word!r}; {hint}")
