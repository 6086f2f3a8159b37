# Everything runs in .venv, which the first target that needs it builds; nothing is installed outside the checkout.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || echo python3)
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help setup demo test lint test-slurm test-gpu bench clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## build the environment in .venv (about 6 GB: torch comes with its GPU libraries)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)

demo: $(READY)  ## train, evaluate and correct photographs with the upe task, on generated scenes (about 4 minutes)
	$(BIN)/python -m experiments.demo

test: $(READY)  ## run the test suite
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not gpu and not slurm"

lint: $(READY)  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-slurm: $(READY)  ## run the tests that need SLURM's programs (skipped where they are not installed)
	$(BIN)/python -m pytest -m slurm || [ $$? -eq 5 ]  # 5: there are none yet

test-gpu: $(READY)  ## run the tests that need a GPU (skipped where there is none)
	$(BIN)/python -m pytest -m gpu

bench: $(READY)  ## measure against the named baselines, see experiments/benchmarks/README.md
	$(BIN)/python -m experiments.benchmarks.slice_apply
	$(BIN)/python -m experiments.benchmarks.camera_pipeline
	$(BIN)/python -m experiments.benchmarks.raw_cache
	$(BIN)/python -m experiments.benchmarks.scenes
	$(BIN)/python -m experiments.benchmarks.subset_fusion
	$(BIN)/python -m experiments.benchmarks.startup

clean:  ## remove the environment and what tests and builds left; runs/ stays
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
