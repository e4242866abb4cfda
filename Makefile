# Every target works from a fresh checkout: .venv is created when it is missing and updated when setup.cfg changes.

PYTHON ?= python3
BIN := .venv/bin

# The tests start processes of their own, so each gets one thread: more threads than cores would slow all of them. Three
# workers keep two cores busy, because many tests wait for such a process.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

RECORDS := leaderboards/records/digits.jsonl.gz

.PHONY: demo figures grid test test-all bench lint on-path

demo: .venv/demo.stamp  ## what a teacher is good for, on digits: a table, a figure and a page
	$(BIN)/okdbench demo --data-root demo/data

figures: .venv/demo.stamp  ## draw docs/plots from the committed records, and generated images from three new runs
	$(BIN)/okdbench run --method augkd --dataset digits --setting MO-P --shots 2 --runs figures/runs --data-root figures/data
	$(BIN)/okdbench run --method mosaickd --dataset digits --setting MO@P --runs figures/runs --data-root figures/data
	for kind in samples "calibration --method augkd" "confusion --method augkd" curves; do \
		$(BIN)/okdbench plot $$kind --runs figures/runs --output docs/plots || exit 1; done
	$(BIN)/okdbench run --method 'augkd[anchor_steps=2000,lr_encoder=0.001,uncertainty=max_softmax]' \
		--dataset digits --setting MO-P --shots 2 --runs figures/trained --data-root figures/data
	$(BIN)/okdbench plot samples --runs figures/trained --output figures
	cp figures/*-mixup.png docs/plots/augkd-trained-anchors.png
	for kind in bars cd pareto gap; do \
		$(BIN)/okdbench plot $$kind --runs $(RECORDS) --setting M --output figures || exit 1; \
		cp figures/*data-free*lenet5_bn*-$$kind.png docs/plots/digits-data-free-label-free-quick-$$kind.png; done
	for kind in bars retention stages; do \
		$(BIN)/okdbench plot $$kind --runs $(RECORDS) --shots 2 --track labelled --output docs/plots || exit 1; done
	$(BIN)/okdbench plot shots --runs $(RECORDS) --output docs/plots \
		--method augkd --method kd --method mad --method finetune --method teacher

SWEEP := $(BIN)/okdbench sweep --datasets digits --seeds 0-4 --jobs 2
# the methods that make images, except AuG-KD
MAKERS := mad,dfq,mosaickd,dfad,zskt,dafl,dfkd,ltr,replay

grid: .venv/demo.stamp  ## run the rows of digits in leaderboards/ again; finished runs are not repeated
	for n in 1 2 5 10 20 all; do $(SWEEP) --methods teacher,finetune,kd,augkd --shots $$n || exit 1; done
	for n in 2 10 all; do $(SWEEP) --methods $(MAKERS) --shots $$n || exit 1; done
	$(SWEEP) --methods teacher,finetune,kd,$(MAKERS) --setting MO-P --track semi --shots 2
	$(SWEEP) --methods teacher,kd,$(MAKERS) --setting MO-P --track label-free
	$(SWEEP) --methods teacher,kd,$(MAKERS) --setting MO@P
	$(SWEEP) --methods teacher,original,scratch,mad,dfkd,dfq,replay,ltr,dfad,zskt,dafl --setting M
	$(SWEEP) --methods teacher,dfkd,dfad --setting M --teacher test_resnet --student test_byobnet

test: .venv/test.stamp  ## all tests except the slow ones
	$(PYTEST) -n 3 --dist worksteal -m "not slow"

test-all: .venv/test.stamp  ## all tests
	$(PYTEST) -n 2

bench: .venv/test.stamp  ## speed, in one process
	$(PYTEST) tests/benchmarks --benchmark-only

lint: .venv/test.stamp  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy okdbench

.venv/bin/pip:
	$(PYTHON) -m venv .venv

.venv/demo.stamp: setup.cfg pyproject.toml | .venv/bin/pip
	$(BIN)/pip install --editable .
	$(MAKE) --silent on-path
	touch $@

.venv/test.stamp: setup.cfg pyproject.toml | .venv/bin/pip
	$(BIN)/pip install --editable '.[test]'
	$(MAKE) --silent on-path
	touch $@ .venv/demo.stamp

# In the folder above a clone named okdbench, Python finds the clone first and takes it for a namespace package, because
# setuptools looks up editable installs last. With the clone on sys.path Python finds the package inside it instead.
on-path:
	$(BIN)/python -c 'from pathlib import Path; from sysconfig import get_path; \
		Path(get_path("purelib"), "okdbench_clone.pth").write_text(f"{Path.cwd()}\n")'
