"""Names and versions of the files of a run: writers and readers share them."""

REPORT, PAGE = "report.json", "report.html"
REPORT_VERSION = 1
WAITING, WAITING_PAGE = "waiting.json", "waiting.html"
"""What report and page of an earlier run are called while a later run is set up that has none of its own."""
_PREVIOUS, _PREVIOUS_PAGE = "report.previous.json", "report.previous.html"
KEPT = {REPORT: _PREVIOUS, WAITING: _PREVIOUS, PAGE: _PREVIOUS_PAGE, WAITING_PAGE: _PREVIOUS_PAGE}
"""What they are called when the later one has begun."""
LAST_GOOD, LAST_GOOD_BEFORE = "last_good", "last_good.previous"
"""The folder of the last good adapter, and what that of an earlier run is called when another has begun at step 0."""
NOT_BEGUN = (
    "the report is an earlier run's{ending}. A later one was set up here and has none: it did not begin to train, or "
    f"its monitor failed to start. If that is right, rename {WAITING} to {REPORT}"
)
