#!/bin/sh
# Finds a Python that Airflow supports and lets it make .venv: `sh local/venv.sh [constraints]`.
# PYTHON=... names one; otherwise python3, then newer and older minor versions.
set -eu
cd "$(dirname "$0")/.."
for python in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
    exec "$python" local/venv.py "$@"
  fi
done
echo "No Python 3.11, 3.12 or 3.13 found${PYTHON:+ as $PYTHON}. Install one, or name it: make venv PYTHON=/path/to/python3.12" >&2
exit 1
