# Each target is one line that calls a script. PYTHON=... names the Python that .venv is made with.
PY := .venv/bin/python

.PHONY: venv demo up down test quick check witness bench docs constraints
.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 14

venv: ## creates .venv, and nothing else
	@PYTHON="$(PYTHON)" sh local/venv.sh

demo: venv ## the whole thing once: starts the stack, delivers, shows what was delivered, stops everything
	@$(PY) -m local demo

up: venv ## starts the local stack in the background and prints where it answers
	@$(PY) -m local up

down: venv ## stops it
	@$(PY) -m local down

test: venv ## the whole test suite (without `witness`)
	@$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not witness"

quick: venv ## its fast part, about a minute
	@$(PY) -m pytest -q -n auto -m "not witness and not heavy"

check: venv ## ruff, mypy, generated docs fresh
	@$(PY) -m local.check

witness: venv ## independent Alma clients from PyPI against the sandbox, and the audit of the dependencies
	@$(PY) -m local.witness

bench: venv ## the benchmarks, as ratios
	@$(PY) -m benchmarks

docs: venv ## writes docs/DAGS.md from the DAGs
	@$(PY) -m local.docs

constraints: ## resolves the requirements anew and writes constraints.txt
	@PYTHON="$(PYTHON)" sh local/venv.sh constraints
