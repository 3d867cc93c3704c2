"""Every argument of the monitor, once: its type, default, meaning and unit, what is allowed, its environment variable.

``LoraWatchCallback``, ``Monitor``, the callback for Lightning, Axolotl's plugin and ``lora-watch run`` take their
arguments from here. An argument that is given counts most, then the environment, then the default.
"""

# ruff: noqa: RUF009 (what the defaults call makes fields)
import functools
import inspect
import logging
import os
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar

from lora_watch.base.alerts import Severity
from lora_watch.base.text import meant
from lora_watch.rules import Rule, choose
from lora_watch.rules.policy import DEFAULT, FailOn, Policy, severities, words
from lora_watch.sinks import Sink

if TYPE_CHECKING:
    from torch import nn

_warn_once = functools.cache(logging.getLogger("lora_watch").warning)
PREFIX = "LORA_WATCH_"
P = ParamSpec("P")
S = TypeVar("S")
Folder = str | os.PathLike[str] | None
Check = Callable[[Any], Any]
"""Takes a value, which may be the text of a variable, and returns it as it is used. Raises ValueError, which names the
value and what is allowed."""


# -- what is allowed ---------------------------------------------------------------------------------------------------
def _whole(of: str, least: int = 0) -> Check:
    def check(value: Any) -> int:
        if not str(value).strip().isdecimal() or int(value) < least:
            raise ValueError(f"{value!r} is no number of {of}; use {least}, {least + 1}, {least + 2}, …")
        return int(value)

    return check


def _one_of(*allowed: Any) -> Check:
    texts: dict[str, Any] = {"1": True, "true": True, "0": False, "false": False}
    texts |= {one: one for one in allowed if isinstance(one, str)}

    def check(value: Any) -> Any:
        value = texts.get(value.strip().lower(), value) if isinstance(value, str) else value
        if not any(value is one for one in allowed):
            raise ValueError(f"{value!r} is not allowed; use one of: {', '.join(map(str, allowed))}")
        return value

    return check


def _that(is_allowed: Callable[[Any], bool], wanted: str) -> Check:
    def check(value: Any) -> Any:
        if not is_allowed(value):
            raise ValueError(f"{value!r} is not allowed; use {wanted}")
        return value

    return check


def _are_sinks(value: Any) -> bool:
    events = [name for name in vars(Sink) if not name.startswith("_")]

    def is_sink(thing: Any) -> bool:
        return not isinstance(thing, type) and any(callable(getattr(thing, event, None)) for event in events)

    return isinstance(value, (list, tuple)) and all(map(is_sink, value))


_flag = _one_of(True, False)
_folder = _that(lambda value: isinstance(value, (str, os.PathLike)), "the path of a folder")
_positive = _that(lambda value: type(value) in (int, float) and value > 0, "a number above 0")
_rates = _that(
    lambda value: isinstance(value, (list, tuple)) and all(isinstance(rate, (int, float)) for rate in value),
    "a list with a number for each parameter group",
)


def about(doc: str, check: Check | None = None, otherwise: Any = None) -> Mapping[str, Any]:
    """Of a field. ``otherwise``: an environment variable may give it, too, and this is then the default."""
    return {"doc": " ".join(doc.split()), "check": check, "variable": otherwise is not None, "else": otherwise}


def setting(default: Any, doc: str, check: Check | None = None, otherwise: Any = None) -> Any:
    """The field of an argument that is given by name: see ``about``."""
    return field(default=default, metadata=about(doc, check, otherwise))


# -- the settings ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every way in takes. A field holds what was given; ``value`` and ``policy`` say what holds."""

    fail_on: FailOn | None = setting(
        None,
        """``never``, ``warning`` or ``error``: alerts of this severity or worse end the run, which then raises
        LoraWatchError. Rule by rule: ``"error,LW202=never"`` or ``{"default": "error", "LW202": "never"}``.""",
        otherwise=(),
    )
    recover: int | None = setting(
        None,
        """how many times the run restores its last good state and continues with a lower learning rate, instead of
        ending. The default of ``fail_on`` is then ``error``.""",
        _whole("times"),
        otherwise=0,
    )
    recover_memory: float = setting(4.0, "GiB of host memory that copies for ``recover`` may take.", _positive)
    patience: int | None = setting(
        None,
        "optimizer steps for which the run tolerates an alert. A NaN, and a fault that stays, ends it at once.",
        _whole("steps"),
        otherwise=0,
    )
    every: int = setting(
        1,
        "optimizer steps between two measurements of the norms. The loss is checked at every step.",
        _whole("optimizer steps", 1),
    )
    full_every: int = setting(
        16,
        """measurements of the norms from one full measurement to the next, with spectrum and ``output_ratio``. Of the
        first 20 steps all are full, and so are the last step and the one after an odd loss or a new alert.""",
        _whole("measurements", 1),
    )
    rules: Iterable[Rule] | None = setting(
        None, "rules with other thresholds (``NormExplosion(loss_factor=1.2)``) or of your own, besides the catalogue."
    )
    mute: str | Sequence[str] | None = setting(
        None, "rules to leave out, by id or name: ``LW203,LW401``.", otherwise=()
    )
    sinks: Sequence[Sink] = setting(
        (), "a ``lora_watch.Sink`` each, which get the records and alerts too.", _that(_are_sinks, "a list of sinks")
    )
    console: bool = setting(True, "print alerts to standard error.", _flag)

    def __post_init__(self) -> None:
        refuse_misspelt_variables()
        for name, each in all_of(type(self)).items():
            if each.metadata["check"] is not None:
                value = self.value(name)
                if not each.metadata["variable"]:  # as it is used: "4" is 4
                    object.__setattr__(self, name, value)
        self.policy()

    def value(self, name: str, check: Check | None = None) -> Any:
        """What holds for the setting: the argument, else the environment, else the default. Raises ValueError, which
        says where a wrong value came from. ``check``: in place of the field's own."""
        of, value, source = all_of(type(self))[name].metadata, getattr(self, name), name
        if value is None and of["variable"]:
            value, source = os.environ.get(variable(name)) or of["else"], variable(name)
        if value is None or (check := check or of["check"]) is None:
            return value
        try:
            return check(value)
        except ValueError as error:
            said = str(error) if source == name else str(error).replace("True, False", "1, 0")  # as it is typed there
            raise ValueError(f"{source}: {said}") from None

    def policy(self, default: Severity | None = None) -> Policy:
        """When an alert ends the run, with copies of the rules. ``default``: what ends it where ``fail_on`` says
        nothing; None for never, and an ERROR with ``recover``."""
        rules, recover = choose(self.rules), self.value("recover")
        least = self.value("fail_on", lambda given: severities(given, rules))
        default = least.pop(DEFAULT, default or (Severity.ERROR if recover else None))
        chosen = self.value("mute", lambda given: choose(rules, words(given)))
        return Policy(chosen, default, least, self.value("patience"), recover)

    def of_a_run(self, **known: Any) -> "RunSettings":
        """Those of its engine, with what the driver knows of the run."""
        names = all_of(RunSettings).keys() & all_of(type(self)).keys()
        return RunSettings(**{name: getattr(self, name) for name in names} | known)


@dataclass(frozen=True, kw_only=True)
class RunSettings(Settings):
    """Next to them what only who drives the training can say: a Trainer's callback finds it out."""

    output_ratio: bool = setting(
        True,
        """measure it, by hooks in forward passes. Pass False if they would break a compiled graph. The rules then
        compare weights.""",
        _flag,
    )
    max_steps: int | None = setting(None, "optimizer steps the run will take, if known.", _whole("steps"))
    lr_fraction: Callable[[int], float | None] | None = setting(
        None,
        "share of the schedule's total Σ lr after n steps; without it, n / max_steps.",
        _that(callable, "a function of the steps done"),
    )
    peak_lr: Sequence[float] | None = setting(
        None,
        """the highest learning rate that the schedule has for each parameter group; without it, the rates that the
        optimizer was built with.""",
        _rates,
    )
    config: Mapping[str, Any] | None = setting(
        None,
        """settings for the report and the dashboards. ``classes`` is the number of classes of a cross-entropy of your
        own: LW205 needs it, and LW207 uses it up to 20 classes. It is known where the loss is that of a language model
        or classifier of transformers, ``model(**batch).loss``.""",
        _that(lambda value: isinstance(value, Mapping), "a dict"),
    )
    judge_loss: bool = setting(
        True,
        """False if the loss does not fall as the model gets better (GRPO, PPO). LW201, NaN and infinity, is then the
        only rule that reads it.""",
        _flag,
    )
    notes: Sequence[str] = setting(
        (),
        "parts that could not be monitored, in words, for the report.",
        _that(lambda value: not isinstance(value, str), "a list of texts"),
    )
    meant: bool = setting(
        False,
        """adapters are to be trained, so that a model without any is an error (LW301). Without it PEFT's configuration
        or names with ``lora_`` say so, and a full fine-tune has the verdict ``unknown``.""",
        _flag,
    )


@dataclass(frozen=True, kw_only=True)
class _Files:
    report_dir: Folder = setting(
        None, "folder of report.json and alerts.jsonl; default ``lora_watch`` in the Trainer's folder.", _folder
    )
    tensorboard: bool = setting(
        True,
        "write TensorBoard events, into the Trainer's own run if it has one, else below ``runs`` in its folder.",
        _flag,
    )


@dataclass(frozen=True, kw_only=True)
class CallbackSettings(_Files, Settings):
    """Arguments of ``LoraWatchCallback``."""

    find_lr: bool | Literal["only"] = setting(
        False,
        """first find the learning rate in about 60 steps (``find_learning_rate``), restore everything and train at that
        rate or at the middle of its range. ``"only"``: print it and exit, with 0 if there is one. The answer is in
        ``found``.""",
        _one_of(True, False, "only"),
    )
    probe: Sequence[Any] | None = setting(
        None,
        """general texts, or a dataset of texts or ``input_ids``: at each evaluation their loss is measured, of the
        first 16 with at most 256 tokens each, and once without the adapters (LW209). In one process, on a model that
        computes its own loss.""",
        _that(lambda value: hasattr(value, "__getitem__") and not isinstance(value, str), "a list of texts"),
    )
    html: bool | None = setting(
        None,
        """at the end write ``report.html`` next to report.json. It is the LoRA tab as one file, drawn from the
        TensorBoard events.""",
        _flag,
        otherwise=False,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.html is not None and self.value("html") and not self.tensorboard:
            raise ValueError("html: True is not allowed with tensorboard=False: it draws TensorBoard events")


@dataclass(frozen=True, kw_only=True)
class LightningSettings(_Files, RunSettings):
    """Arguments of ``lora_watch.lightning.LoraWatch``."""


@dataclass(frozen=True, kw_only=True)
class MonitorSettings(RunSettings):
    """Arguments of ``Monitor``."""

    model: "nn.Module" = field(kw_only=False, metadata=about("the model that is being trained, with its adapters."))
    optimizer: Any = field(
        default=None,
        kw_only=False,
        metadata=about("anything with ``param_groups``; without it learning rates are unknown."),
    )
    scheduler: Any = setting(None, "the optimizer's schedule, which may say how far its rates rise (``CyclicLR``).")
    scaler: Any = setting(
        None,
        """the ``torch.amp.GradScaler`` of a loop under fp16. Steps that it skips are no fault (LW307 counts them).
        Accelerate's optimizer brings its own.""",
    )
    output_dir: Folder = setting(
        None,
        """folder for ``lora_watch/`` (report, last good adapter) and ``runs/`` (TensorBoard). Without it nothing is
        written. Of several ranks the first one writes.""",
        _folder,
    )


# -- what takes them ---------------------------------------------------------------------------------------------------
def takes(settings: Callable[P, S]) -> Callable[[Callable[[Any, S], None]], Callable[Concatenate[Any, P], None]]:
    """For the ``__init__`` of what is built from ``settings``: their fields are its arguments, which ``help`` shows."""
    kind: Any = settings

    def decorate(init: Callable[[Any, S], None]) -> Callable[Concatenate[Any, P], None]:
        def __init__(self: Any, *args: Any, **given: Any) -> None:
            owner, known = type(self).__name__, list(all_of(kind))
            for name in given:
                if name not in known:
                    raise TypeError(f"{owner} has no setting {name!r}{meant(name, known)}. It has {', '.join(known)}")
            try:
                signature.bind(self, *args, **given)
            except TypeError as error:
                raise TypeError(f"{owner}: {error}") from None
            init(self, kind(*args, **given))

        own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        signature = inspect.Signature([own, *inspect.signature(kind).parameters.values()])
        __init__.__signature__ = signature  # type: ignore[attr-defined]
        lines = [f"{name}: {described(kind, name)}" for name in all_of(kind)]
        filled = "\n".join(textwrap.fill(line, 110, subsequent_indent="    ") for line in lines)
        __init__.__doc__ = "Args:\n" + textwrap.indent(filled, "    ")
        return __init__

    return decorate


def described(settings: type[Settings], name: str) -> str:
    """The setting's doc, with its default."""
    of = all_of(settings)[name].metadata
    doc = str(of["doc"])
    if of["variable"]:
        default = {(): "never" if name == "fail_on" else "none"}.get(of["else"], of["else"])
        doc += f" Default: the environment variable ``{variable(name)}``, else {default}."
    return doc


def variable(name: str) -> str:
    """The environment variable that may give the setting."""
    return f"{PREFIX}{name.upper()}"


def refuse_misspelt_variables() -> None:
    """Raise ValueError for a variable with our prefix that gives no setting, and name the nearest one. Where none is
    near it may be another's, as what Kubernetes sets for a service of our name: the log has it once."""
    known = [variable(name) for name, each in all_of(CallbackSettings).items() if each.metadata["variable"]]
    ours = {name for name, value in os.environ.items() if name.startswith(PREFIX) and value}
    unknown, there_are = sorted(ours - {*known, variable("command")}), f"lora_watch reads {', '.join(known)}"
    for name in (each.removeprefix(PREFIX) for each in unknown):
        near = meant(name, [each.removeprefix(PREFIX) for each in known]).replace("'", f"'{PREFIX}", 1)
        if near or name.lower() in all_of(CallbackSettings):
            raise ValueError(f"{PREFIX}{name}: there is no such variable{near}; {there_are}")
    if unknown:
        _warn_once(f"{there_are}, and not {', '.join(unknown)}")


@functools.cache
def all_of(settings: type[Settings]) -> dict[str, Field[Any]]:
    return {each.name: each for each in fields(settings)}
