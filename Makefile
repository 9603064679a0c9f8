# Each target is one line that calls a script. PYTHON=... names the Python that .venv is made with.
PY := .venv/bin/python

.PHONY: help venv demo up down test quick stacks nightly check third-party bench docs pictures constraints
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 14

venv: ## create .venv, and nothing else
	@PYTHON="$(PYTHON)" sh local/venv.sh

demo: venv ## start the stack, deliver holdings, load files, lend a book, show the results, stop everything
	@$(PY) -m local demo

up: venv ## start the local stack in the background and print its addresses
	@$(PY) -m local up

down: venv ## stop the local stack; its data stays
	@$(PY) -m local down

quick: venv ## run the fast tests, at least one of every package and DAG (about a minute on 2 cores)
	@$(PY) -m local.suite quick

test: venv ## run the test suite (less than 20 minutes on 2 cores); the three targets below are apart
	@$(PY) -m local.suite test

stacks: venv ## run the tests of whole stacks: many processes, make up and demo, browser (at most 25 minutes)
	@$(PY) -m local.suite stacks

third-party: venv ## test with Alma clients and MARC records from PyPI, audit the dependencies (needs PyPI)
	@$(PY) -m local.third_party

nightly: venv ## run the exhaustive tests: the full fault matrix and other long ones
	@$(PY) -m local.suite nightly

check: venv ## run ruff and mypy, and check that the generated docs are up to date
	@$(PY) -m local.check

bench: venv ## run the benchmarks and print them as ratios
	@$(PY) -m benchmarks

docs: venv ## write docs/DAGS.md from the DAGs
	@$(PY) -m local.docs

pictures: venv ## take the screenshots of the docs from the browser tests (needs a Chromium, 15 minutes)
	@$(PY) -m tests.browser.screenshots

constraints: ## resolve the requirements again and write constraints.txt
	@PYTHON="$(PYTHON)" sh local/venv.sh constraints
