"""A judgement as JUnit XML, as Jenkins, GitLab and others show test results.

A run is a test suite. Each rule that has found something is a test case: failed with the alert as its text, or passed
with it as output where it is below the threshold or the run has recovered. Servers know a case by ``classname`` and
``name``: that of a rule is the same, whatever it found. Two more cases list the other rules: those that have found
nothing, which passes, and those that were muted or switched off or could not judge all of the run, which is skipped.
"""

from dataclasses import replace
from xml.etree import ElementTree

from lora_watch.base.alerts import Alert
from lora_watch.gate.baseline import RULES
from lora_watch.gate.judging import Judged, Judgement
from lora_watch.rules import ReplicasDiffer, RewardNotRising, RewardsAllEqual, Rule, StaleRollouts, catalogue
from lora_watch.rules.policy import passes, too_few
from lora_watch.runs.run import FinishedRun


def junit(judgement: Judgement) -> bytes:
    """A whole document, UTF-8, in the form of the schema ``junit-10.xsd`` of Jenkins' xUnit plugin."""
    root = ElementTree.Element("testsuites", name="lora_watch")
    for judged in judgement.runs:
        _suite(root, judged, judgement)
    if judgement.unreadable:
        suite = ElementTree.SubElement(root, "testsuite", name="lora_watch: not judged")
        for number, reason in enumerate(judgement.unreadable, 1):
            case = ElementTree.SubElement(suite, "testcase", classname="lora_watch", name=f"unreadable {number}")
            ElementTree.SubElement(case, "error", type="unreadable", message=reason).text = reason
    for each in (root, *root):
        for count, found in (("tests", "testcase"), ("failures", "failure"), ("errors", "error")):
            each.set(count, str(sum(1 for _ in each.iter(found))))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True)


def _suite(root: ElementTree.Element, judged: Judged, judgement: Judgement) -> None:
    run = judged.run
    suite = ElementTree.SubElement(root, "testsuite", name=run.name)
    if run.updated:
        suite.set("timestamp", run.updated)
    fired: dict[str, list[Alert]] = {}
    for alert in [*judged.findings, *(a for a in run.alerts if a.recovered_from)]:
        fired.setdefault(alert.rule, []).append(alert)
    fails = bool(judgement.failures(judged))
    told = [] if run.next_run is None else [f"Next run: {run.next_run}"]  # under the first that fails, once a run
    for rule, alerts in sorted(fired.items()):
        case = ElementTree.SubElement(suite, "testcase", classname=run.name, name=f"{rule} {alerts[0].name}")
        report = "\n\n".join(str(replace(alert, next_run=None) if fails else alert) for alert in alerts)
        if any(judgement.counts(alert) for alert in alerts if not alert.recovered_from):
            failure = ElementTree.SubElement(case, "failure", type=alerts[0].severity.name, message=alerts[0].message)
            failure.text = "\n\n".join([report, *told])
            told = []
        else:
            passed = "" if fails else passes(alerts, off=judgement.switched_off)
            ElementTree.SubElement(case, "system-out").text = f"{report}\n\n{passed}".rstrip()
    others: dict[str, list[str]] = {"": []}
    ours = {rule.id: rule for rule in catalogue()}
    known = {*run.rules, *(ours if run.rules else ()), *(RULES if judged.compared else ())}
    for id in sorted(known - fired.keys()):
        why = "switched off (never)" if id in judgement.switched_off else _not_judged(id, ours.get(id), run)
        others.setdefault(why, []).append(id)
    case = ElementTree.SubElement(suite, "testcase", classname=run.name, name="rules that found nothing")
    ElementTree.SubElement(case, "system-out").text = ", ".join(others.pop(""))
    if others:
        case = ElementTree.SubElement(suite, "testcase", classname=run.name, name="rules that did not judge")
        whys = (f"{', '.join(rules)}: {why}" for why, rules in others.items())
        ElementTree.SubElement(case, "skipped", message=". ".join(whys))


def _not_judged(id: str, rule: Rule | None, run: FinishedRun) -> str:
    """Why a rule that has found nothing had nothing to judge, or not all of it, as far as files tell; else empty."""
    if rule is not None and id not in run.rules:
        return "muted in the run" if id in run.muted else "not asked in the run"
    if run.verdict not in ("ok", "unhealthy") and not (rule is not None and rule.static):  # settings come first
        return f"not all of the run was judged: {run.ending}, {run.steps}"
    if rule is not None:
        if rule.of == "evaluation" and not run.evaluation:
            return "the run had no evaluation"
        if isinstance(rule, (RewardNotRising, RewardsAllEqual, StaleRollouts)) and run.reward_ends is None:
            return "the run had no reward"
        if rule.id == ReplicasDiffer.id and run.config.get("world_size") == 1:
            return "one process trained"
        if rule.needs is not None and not any(rule.needs in adapter.last for adapter in run.adapters.values()):
            return f"{rule.needs} was not measured"
    return next((said for said in (*run.notes, too_few(run.step)) if f"({id})" in said and "judge" in said), "")
