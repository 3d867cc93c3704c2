"""What is shipped, and what importing it costs."""

import ast
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

import lora_watch

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "lora_watch"
HEAVY = {"torch", "transformers", "accelerate", "peft", "tensorboard", "numpy"}


def imports(file: Path) -> set[str]:
    """Top-level names of every package that ``file`` imports anywhere, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_importing_the_package_imports_nothing_heavy():
    code = f"import sys, lora_watch; dir(lora_watch); print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", lora_watch.__all__)
def test_every_public_name_resolves(name: str):
    assert getattr(lora_watch, name) is not None
    assert name in dir(lora_watch)


def test_the_core_imports_torch_and_numpy_alone():
    code = (
        "import sys, torch, numpy, importlib; before = set(sys.modules)\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(f'lora_watch.{name}')\n"
        "    new = {module.split('.')[0] for module in sys.modules.keys() - before}\n"
        "    print(name, *sorted(new - sys.stdlib_module_names - {'torch', 'numpy'}))\n"
        # transformers and PEFT take four seconds, and only say what the files say.
        "from lora_watch.tune.advise import advise\n"
        "from lora_watch.demo.models import TINY_LLAMA\n"
        "advise(TINY_LLAMA)\n"
        "print('advise', *{'transformers', 'peft', 'bitsandbytes'} & sys.modules.keys())"
    )
    core = ("adapters", "measurement.norms", "measurement.signals.loss", "rules", "drivers.loop")
    done = subprocess.run([sys.executable, "-c", code, *core], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines() == [*(f"{name} lora_watch" for name in core), "advise"]


def test_transformers_is_known_to_few_files():
    knows = {str(file.relative_to(PACKAGE)) for file in PACKAGE.rglob("*.py") if "transformers" in imports(file)}
    outside = {name for name in knows if not name.startswith(("demo", "drivers"))}
    assert outside == {"tune/find_lr.py"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the wheel and the source distribution."""
    folder = tmp_path_factory.mktemp("built")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "--directory", str(folder)], cwd=ROOT, check=True)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(next(built.glob("*.whl")))


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` of a new environment that has the wheel, and of this one all packages but ours."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    site = next((folder / "lib").glob("python*/site-packages"))
    # A path in a .pth is searched without the .pth files in it, so that an editable install is not seen.
    (site / "others.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--force-reinstall", str(next(built.glob("*.whl")))], check=True)
    return folder / "bin"


def run_outside(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command in ``folder``, where the checkout cannot be imported."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(part) for part in command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_the_wheel_holds_every_module_is_small_and_does_not_need_peft(wheel: zipfile.ZipFile):
    names = set(wheel.namelist())
    for wanted in ("tiny_llama/model.safetensors", "tiny_llama/tokenizer.json", "tiny_llama/README.md"):
        assert f"lora_watch/demo/{wanted}" in names
    assert "lora_watch/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {str(file.relative_to(ROOT)) for file in PACKAGE.rglob("*.py")} <= names
    foreign = [name for name in names if not name.startswith(("lora_watch/", "lora_watch-"))]
    assert foreign == [], "no tests, no benchmarks"
    assert not [name for name in names if "__pycache__" in name or "/test_" in name or "remake_model" in name]
    assert sum(entry.compress_size for entry in wheel.infolist()) < 3_000_000
    metadata = wheel.read(next(name for name in wheel.namelist() if name.endswith("METADATA"))).decode()
    required = [line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra" not in line]
    assert not [line for line in required if "peft" in line]
    assert f"Version: {lora_watch.__version__}" in metadata


def test_what_is_built_is_fit_to_be_published(built: Path):
    pytest.importorskip("twine")
    files = [str(path) for path in built.iterdir()]
    assert len(files) == 2
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *files], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_a_release_is_built_checked_and_installed_before_it_is_published() -> None:
    """What can be said of the workflow without a forge; its commands are those of the tests here."""
    jobs = yaml.safe_load((ROOT / "examples/ci/release.yml").read_text())["jobs"]
    build = "\n".join(step.get("run", "") for step in jobs["build"]["steps"])
    places = [build.index(part) for part in ("hatchling build", "twine check --strict", "lora-watch check")]
    assert places == sorted(places)
    pairs = {(each["python"], each["versions"]) for each in jobs["test"]["strategy"]["matrix"]["include"]}
    assert ("3.10", "oldest") in pairs
    assert {python for python, versions in pairs if versions == "newest"} == {"3.10", "3.11", "3.12", "3.13"}
    assert (ROOT / "tests/versions.sh").is_file()
    assert set(jobs["publish"]["needs"]) == {"test", "build"}
    assert jobs["publish"]["permissions"] == {"id-token": "write"}, "trusted publishing, and no secret"


@pytest.mark.skipif(os.name == "nt", reason="POSIX layout of an environment")
def test_an_installed_wheel_works_outside_the_checkout(installed: Path, healthy: Path, exploded: Path, tmp_path: Path):
    where = "import lora_watch; print(lora_watch.__file__)"
    assert str(installed.parent) in run_outside(installed / "python", "-c", where, folder=tmp_path).stdout
    ours = installed / "lora-watch"
    for arguments, code in (
        (["demo", "--help"], 0),
        (["check", healthy], 0),
        (["check", exploded], 1),
        (["rules", "LW102"], 0),
        (["inspect", exploded / "lora_watch" / "last_good"], 0),
    ):
        done = run_outside(ours, *arguments, folder=tmp_path)
        assert done.returncode == code, done.stdout + done.stderr
    tab = """
from tensorboard import default
(loader,) = [each for each in default.get_dynamic_plugins() if each.__module__.startswith("lora_watch")]
from lora_watch.tensorboard_plugin import plugin
from pathlib import Path
print(sorted(path.name for path in (Path(plugin.__file__).parent / "static").iterdir()))
"""
    done = run_outside(installed / "python", "-c", tab, folder=tmp_path)
    static = PACKAGE / "tensorboard_plugin" / "static"
    assert done.stdout.strip() == str(sorted(path.name for path in static.iterdir())), done.stderr


@pytest.mark.thorough
@pytest.mark.skipif(os.name == "nt", reason="POSIX layout of an environment")
def test_types_are_seen_from_outside(installed: Path, tmp_path: Path):
    pytest.importorskip("pyright")
    (tmp_path / "user.py").write_text(
        "from lora_watch import LoraWatchCallback\nLoraWatchCallback(every=2)\nLoraWatchCallback(every='two')\n"
    )
    python = str(installed / "python")
    done = run_outside(sys.executable, "-m", "pyright", "--pythonpath", python, "user.py", folder=tmp_path)
    errors = [line for line in done.stdout.splitlines() if " - error:" in line]
    assert [line.partition(" - ")[0].split(":")[-2] for line in errors] == ["3"], done.stdout
