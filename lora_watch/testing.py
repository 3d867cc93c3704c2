"""For a project's own tests: this training stays healthy.

::

    from lora_watch.testing import stays_healthy

    def test_our_fine_tune_stays_healthy(tmp_path):
        with stays_healthy():
            our_project.fine_tune(output_dir=tmp_path, max_steps=30)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lora_watch.base.alerts import LoraWatchError, Severity
from lora_watch.drivers.attach import attach_to_every_trainer
from lora_watch.rules.policy import MONITOR_FAILURE


@contextmanager
def stays_healthy(*trainers: Any, fail_on: str = "error", **settings: Any) -> Iterator[None]:
    """Watches every ``Trainer`` that trains inside the ``with``, TRL's too, and fails the test for its alerts.

    A training is ended at its first alert of this severity, and what the failure says is that alert: what happened, in
    which layers, why, and what to try. It fails as well where nothing was trained, or nothing monitored.

    Args:
        trainers: Trainers that were built before the ``with``; those that are built inside are found.
        fail_on: ``error`` or ``warning``: the least severity of an alert that fails the test.
        settings: further arguments of ``LoraWatchCallback`` (``mute=["LW104"]``). Unlike there, neither
            TensorBoard nor the console is written to unless asked for. A Trainer that brings a callback of its own
            keeps that one's settings.

    Raises:
        AssertionError: there are such alerts, or nothing was monitored.
        ValueError: ``fail_on`` is no severity.
    """
    __tracebackhide__ = True
    least = Severity.parse(fail_on)
    settings = {"tensorboard": False, "console": False, **settings, "fail_on": fail_on}
    attached = attach_to_every_trainer(settings)
    for trainer in trainers:
        attached.watch(trainer)
    try:
        yield
    except LoraWatchError as error:
        said = "\n".join(map(str, error.alerts)) or str(error)  # here no console has the alerts
        raise AssertionError(f"\n{said}") from None
    finally:
        attached.detach()
    if not attached.monitors:
        raise AssertionError("no Trainer has trained inside stays_healthy(): nothing was monitored")
    if any(monitor.coverage.is_blind for monitor in attached.monitors):
        raise AssertionError("a training was monitored in which no adapter was measured: see the notes in its report")
    alerts = [alert for monitor in attached.monitors for alert in monitor.alerts]
    bad = [alert for alert in alerts if alert.severity >= least or alert.rule == MONITOR_FAILURE]
    if bad:
        raise AssertionError("\n" + "\n".join(map(str, sorted(bad, key=lambda alert: -alert.severity))))
