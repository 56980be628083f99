# The two commands: `make run` starts the dashboard, `make test` runs every test. `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
PY := $(VENV)/bin/python
PYTHON ?= python3
PORT ?= 8501

.PHONY: run test test-long setup lint types check format help

run: $(VENV)/.runtime ## install what is needed, then start the dashboard (PORT=8501)
	@$(PY) -m streamlit run app.py --server.port $(PORT)

test: $(VENV)/.development ## install what tests need, get a browser, run every test but the long ones (ARGS="-k name" for some)
	@$(PY) tests/browser/get_browser.py
	@$(PY) -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

test-long: $(VENV)/.development ## the tests that take minutes, which `make test` leaves out
	@$(PY) -m pytest -m long --timeout 3600 $(ARGS)

setup: $(VENV)/.development ## make .venv with everything that running and testing need

lint: $(VENV)/.development ## ruff: rules and format
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

types: $(VENV)/.development ## mypy, strict on resnet_core
	@$(PY) -m mypy

check: lint types test ## all of lint, types and test

format: $(VENV)/.development ## let ruff format and fix what it can
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

# Stamps: a second `make run` finds them newer than the requirements and starts at once.
$(VENV)/.runtime: requirements.txt | $(PY)
	$(PY) -m pip install --disable-pip-version-check -q -r requirements.txt
	@touch $@

$(VENV)/.development: requirements.txt requirements-dev.txt | $(PY)
	$(PY) -m pip install --disable-pip-version-check -q -r requirements-dev.txt
	@touch $@ $(VENV)/.runtime

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Residual Lens needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make run PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make environments (no ensurepip). On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
