"""``lora-watch run``: a training script, monitored without a change to it."""

import os
import re
import runpy
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

import typer

from lora_watch.base.text import count
from lora_watch.cli.common import misuse, note
from lora_watch.format.files import shown
from lora_watch.rules.policy import words
from lora_watch.settings import PREFIX, CallbackSettings, described, variable

EXAMPLES = {
    "lora-watch run train.py": "a training script as it is, monitored",
    "lora-watch run train.py --lr 1e-4": "the script's own arguments come after it",
    "lora-watch run --fail-on warning train.py": "stricter",
    "lora-watch run --find-lr train.py": "find a learning rate; --apply also trains at it",
    "lora-watch run -m trl.scripts.sft --config sft.yaml": "a module, as with python -m",
    "torchrun --nproc_per_node 2 -m lora_watch run train.py": "",
    "accelerate launch -m lora_watch run train.py": "",
}

SETTINGS = {"allow_interspersed_args": False}
"""For the command: every word after the script belongs to the script, even one that looks like our option."""


OURS = ("--fail-on", "--recover", "--patience", "--mute", "--report-dir", "--find-lr", "--apply")


def help_of(name: str) -> str:
    doc = re.sub(r" or ``\{.*?\}``|``", "", described(CallbackSettings, name))  # a mapping is Python's form
    return doc[0].upper() + doc[1:]


@dataclass(eq=False)
class Handover(BaseException):
    """Raised when the command line has been read. The script starts outside of it, so the command line's own treatment
    of exceptions and exits does not touch the script."""

    script: str
    arguments: list[str]
    module: bool
    settings: dict[str, Any]


def run(
    script: Annotated[str, typer.Argument(metavar="SCRIPT", help="A Python file; with -m a module.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[ARGS]…", help="The script's own arguments.")
    ] = None,
    module: Annotated[bool, typer.Option("-m", "--module", help="SCRIPT is a module, as with python -m.")] = False,
    fail_on: Annotated[
        str | None, typer.Option(help=help_of("fail_on").replace("else never", "else error"), metavar="POLICY")
    ] = None,
    recover: Annotated[int | None, typer.Option(help=help_of("recover"), metavar="TIMES")] = None,
    patience: Annotated[int | None, typer.Option(help=help_of("patience"), metavar="STEPS")] = None,
    mute: Annotated[str | None, typer.Option(help=help_of("mute"), metavar="RULES")] = None,
    report_dir: Annotated[Path | None, typer.Option(help=help_of("report_dir"))] = None,
    find_lr: Annotated[
        bool, typer.Option("--find-lr", help="Find the learning rate in about 60 steps, print it and exit.")
    ] = False,
    apply: Annotated[bool, typer.Option("--apply", help="With --find-lr: train at the rate afterwards.")] = False,
) -> None:
    """Run an unchanged training script, monitor every Trainer in it, and end it when it goes wrong.

    The exit code is the script's own, with two exceptions. It is 1 if an alert ends the run. The alert is then printed
    last, even if the script catches every exception. It is 2 if nothing was monitored, a run was not judged to its end,
    or an option is wrong. A run that broke off was not judged to its end, unless a later one trains in its folder.

    A LoraWatchCallback of the script keeps its arguments. --fail-on, --recover, --patience and --mute fill in those
    that it leaves open. At the end report.html, the LoRA tab as one file, lies next to the report.

    --find-lr prints a learning rate for the first Trainer's model and data, with its curve. The file find_lr.json next
    to the report holds it too. The exit code is 1 if the sweep makes no suggestion, as where the training is broken.

    Environment: LORA_WATCH_HTML=0 leaves report.html out.
    """
    if not module and not Path(script, *["__main__.py"] * Path(script).is_dir()).exists():
        raise misuse(f"there is no script {script}: a Python file is wanted")
    if apply and not find_lr:
        raise misuse("--apply belongs to --find-lr")
    settings: dict[str, Any] = {"report_dir": report_dir, "find_lr": find_lr and (apply or "only")}
    shared = {"fail_on": fail_on, "patience": patience, "mute": mute, "recover": recover}
    try:
        CallbackSettings(**settings, **shared)  # a typo is an error here, not when a model has been loaded
    except ValueError as error:
        said = str(error)
        raise misuse(said if said.startswith(PREFIX) else f"--{said.replace('_', '-', 1)}") from None
    # Where callbacks of the script's own and processes that it starts find them, too.
    os.environ.update({variable(name): str(value) for name, value in shared.items() if value is not None})
    os.environ.setdefault(variable("html"), "1")
    os.environ[variable("command")] = "run"  # whose flags the console names, not arguments
    least = variable("fail_on")
    if all("=" in word for word in words(os.environ.get(least, ""))):  # the other rules keep this command's default
        os.environ[least] = ",".join(["error", *words(os.environ.get(least, ""))])
    raise Handover(script, arguments or [], module, settings)


def start(todo: Handover) -> None:
    """Run the script as ``python SCRIPT`` or ``python -m MODULE`` would, and end as it ends."""
    from lora_watch.base.alerts import LoraWatchError
    from lora_watch.drivers.attach import attach_to_every_trainer
    from lora_watch.run.process import counts

    attached = attach_to_every_trainer(todo.settings)
    sys.argv = [todo.script, *todo.arguments]
    sys.path[0] = "" if todo.module else str(Path(todo.script).resolve().parent)
    try:
        if todo.module:
            runpy.run_module(todo.script, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(todo.script, run_name="__main__")
    except BaseException as error:
        attached.close(error)
        trace, ours = error.__traceback__, (__file__, runpy.run_path.__code__.co_filename)
        while trace is not None and trace.tb_frame.f_code.co_filename in ours:  # the rest is what Python would show
            trace = trace.tb_next
        if todo.module and trace is None and isinstance(error, ImportError):
            sys.exit(misuse(str(error)).exit_code)
        meant = next((word for word in todo.arguments if word.partition("=")[0] in OURS), None)
        if meant is not None and isinstance(error, SystemExit) and error.code == 2:  # argparse's
            note(f"{meant} went to the script. If it was meant for lora-watch run, put it before the script's name")
        if isinstance(error, LoraWatchError):
            for failed in [monitor for monitor in attached.monitors if monitor.failures][-1:]:
                note(f"an alert ended the training in {shown(failed.sinks.folder or failed.place)}:")
            sys.excepthook = _the_alert_alone
            raise
        if not (isinstance(error, SystemExit) and error.code in (None, 0)):
            usual = sys.excepthook
            sys.excepthook = lambda kind, error, _: usual(kind, error.with_traceback(trace), trace)
            raise
    attached.close(None)
    if (failed := attached.first_failure()) is not None:
        where = shown(failed.sinks.folder or failed.place)
        note(f"an alert ended the training in {where}, and the script has caught its exception:")
        sys.excepthook = _the_alert_alone
        raise failed.error()

    if not counts.started:
        note(
            "nothing was monitored: in this process the script has trained nothing, neither with a Trainer nor with a "
            "Monitor of its own"
        )
        sys.exit(2)
    if counts.unjudged:
        note(f"{count(counts.unjudged, 'run')} could not be judged, or did not come to an end: see the report")
        sys.exit(2)


def _the_alert_alone(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stdout.flush()
    print(error, file=sys.stderr, flush=True)
