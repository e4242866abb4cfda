# Everything below works from a fresh checkout: .venv is made when it is missing or when setup.cfg changes.

PYTHON ?= python3
BIN := .venv/bin
DEMO_METHODS := teacher finetune kd augkd

# the tests start worker processes of their own; one thread each keeps them from fighting over the cores
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

.PHONY: demo test test-all bench lint

demo: .venv/demo.stamp  ## compare four methods on the digits and write demo/digits.csv
	$(BIN)/okdbench run $(DEMO_METHODS:%=--method %) --dataset digits --budget quick --runs demo/runs --data-root demo/data
	$(BIN)/okdbench leaderboard --runs demo/runs --output demo

test: .venv/test.stamp  ## all tests but the slow ones
	$(PYTEST) -n 2 -m "not slow"

test-all: .venv/test.stamp  ## all tests
	$(PYTEST) -n 2

bench: .venv/test.stamp  ## speed, one process
	$(PYTEST) tests/benchmarks --benchmark-only

lint: .venv/test.stamp  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy okdbench

.venv/bin/pip:
	$(PYTHON) -m venv .venv

.venv/demo.stamp: setup.cfg pyproject.toml | .venv/bin/pip
	$(BIN)/pip install --editable .
	touch $@

.venv/test.stamp: setup.cfg pyproject.toml | .venv/bin/pip
	$(BIN)/pip install --editable '.[test]'
	touch $@ .venv/demo.stamp
