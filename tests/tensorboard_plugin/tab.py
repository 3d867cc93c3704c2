"""A browser page on a TensorBoard, as the tests of the tab drive it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

VIEWS = ("overview", "heatmap", "layer", "alerts", "compare")
WAIT = 120_000
"""Milliseconds. TensorBoard and a browser share two cores with other tests: a page may take half a minute."""
HOME = "#lora_watch"
SIZE: Any = {"width": 1280, "height": 900}
MAGENTA = [255, 0, 168]


def single_step(frame: Any) -> tuple[str, str, str]:
    """Loss, output ratio and zone that the overview shows of its step."""
    texts = "all => all.map((tile) => [...tile.children].map((part) => part.textContent))"
    tiles = {name: rest for name, *rest in frame.eval_on_selector_all(".tile", texts)}  # the number, what is below it
    zone = frame.inner_text("#verdict h1").split("\n")[0]
    return tiles["Loss"][0], tiles["Size of the adapters"][0], zone


@dataclass
class Tab:
    """One browser page on one TensorBoard."""

    page: Any
    address: str
    errors: list[str] = field(default_factory=list)
    frame: Any = None

    def __post_init__(self) -> None:
        self.page.set_default_timeout(WAIT)
        self.page.on("pageerror", self._failed)
        self.page.on("console", self._said)

    def _failed(self, error: Any) -> None:
        self.errors.append(str(error))

    def _said(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} {message.location.get('url')}")

    def open(self, **state: Any) -> Any:
        """The tab's frame, loaded anew at this state and drawn."""
        parts = [f"p.lora_watch.{key}={quote(str(value))}" for key, value in state.items()]
        place = "&".join([HOME, *parts])
        if self.page.url.startswith(f"{self.address}/{HOME}"):  # TensorBoard itself takes ten times as long to load
            inner = self.page.wait_for_selector("iframe")
            self.frame = inner.content_frame()
            self.frame.goto("about:blank")  # what was open would go on writing its own place
            self.page.evaluate("place => history.replaceState(history.state, '', place)", place)
            self.frame.goto(inner.evaluate("inner => inner.src"))
        else:
            self.page.goto(f"{self.address}/{place}")
            self.frame = self.page.wait_for_selector("iframe").content_frame()
        self.shows(state.get("view", "overview"))
        self.frame.evaluate("window.draws = 0; document.addEventListener('lora-watch-drawn', () => window.draws++)")
        return self.frame

    def leave(self) -> None:
        """The page as the next test wants it: nothing is held, and TensorBoard shows the tab and is light."""
        self.page.unroute_all(behavior="ignoreErrors")
        self.page.remove_listener("pageerror", self._failed)
        self.page.remove_listener("console", self._said)
        self.page.set_viewport_size(SIZE)
        dark = self.page.evaluate("document.body.classList.contains('dark-mode')")
        if dark or not self.page.url.startswith(f"{self.address}/{HOME}"):
            self.page.goto("about:blank")

    def shows(self, view: str) -> None:
        self.frame.wait_for_selector(f"body[data-ready={view}]")

    def hash(self) -> str:
        return self.page.evaluate("decodeURIComponent(location.hash)")

    def after(self, act: Callable[[], Any]) -> None:
        """Do it and wait until the tab has drawn again."""
        before = self.frame.evaluate("window.draws")
        act()
        self.until(lambda: self.frame.evaluate("window.draws") > before)

    def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(WAIT // 50):
            if condition():
                return
            self.page.wait_for_timeout(50)
        raise TimeoutError(
            f"nothing came of it; the tab shows: {self.frame.inner_text('#view')[:300]!r}, {self.errors}"
        )

    def choose_run(self, part: str) -> None:
        """The one whose name begins with this."""
        name = self.frame.get_attribute(f"#run option[value^='{part}'] >> nth=0", "value")
        self.after(lambda: self.frame.select_option("#run", name))

    def go(self, view: str) -> None:
        self.after(lambda: self.frame.click(f"#tab-{view}"))
        self.shows(view)

    def press(self, key: str) -> None:
        self.after(lambda: self.frame.press("#view", key))
