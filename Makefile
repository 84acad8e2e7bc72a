# Every target sets up what it needs in .venv of this checkout.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The locks are complete: pip has nothing to resolve.
INSTALL := -m pip install --quiet --disable-pip-version-check
PIP := $(BIN)/python $(INSTALL)
# The tests wait more than they compute.
JOBS ?= $(shell expr $$(nproc) + 1)
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup
# Counting the lines that run costs a test a third to a half more. So it is done for these, which reach nearly all of
# processing/ and schemas/ by themselves; the others run them, too, but in child processes or for the tenth time.
COUNTED := tests/processing tests/schemas $(addprefix tests/clawback/,test_mailroom.py test_waiting.py test_webhooks.py \
	salesforce/test_checking.py salesforce/test_operations.py web/test_items.py)

.DEFAULT_GOAL := help
.PHONY: help demo test serve check bench lock

help:
	@echo "make demo    set up and run Clawback's main job on its own data, in under a minute after set-up"
	@echo "make test    set up and pass the tests"
	@echo "make serve   set up and serve: hosted FTP, flows, schedules (settings in clawback.toml)"
	@echo "make check   formatting, lint and types"
	@echo "make bench   measure against the yardstick; writes bench/RESULTS.md"
	@echo "make lock    lock the dependencies anew, with hashes"

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Clawback needs Python 3.11 or newer; say which: make PYTHON=/path/to/python3.11 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: requirements.lock pyproject.toml | $(VENV)/.made
	$(PIP) --no-deps --require-hashes -r requirements.lock
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	$(PIP) --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

demo: $(VENV)/.run
	$(BIN)/clawback demo

serve: $(VENV)/.run
	$(BIN)/clawback serve

test: $(VENV)/.dev
	tests/install-debian-packages
	$(PYTEST) $(COUNTED) --cov --cov-report=term-missing:skip-covered --cov-fail-under=95
	$(PYTEST) $(addprefix --ignore=,$(COUNTED))

check: $(VENV)/.dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

# Libraries that only the tests need are imported by others where they are installed: users don't have them.
$(VENV)/product/.run: requirements.lock pyproject.toml | $(VENV)/.made
	$(PYTHON) -m venv $(VENV)/product
	$(VENV)/product/bin/python $(INSTALL) --no-deps --require-hashes -r requirements.lock
	$(VENV)/product/bin/python $(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

# What Clawback is compared with, kept apart from its own dependencies.
$(VENV)/rivals/.run: bench/rivals/requirements.lock | $(VENV)/.made
	$(PYTHON) -m venv $(VENV)/rivals
	$(VENV)/rivals/bin/python $(INSTALL) --no-deps --require-hashes -r $<
	@touch $@

bench: $(VENV)/.dev $(VENV)/product/.run $(VENV)/rivals/.run
	$(BIN)/python bench/run.py --python $(VENV)/product/bin/python --rivals $(VENV)/rivals/bin/python

lock: $(VENV)/.made
	$(PIP) uv
	$(BIN)/uv pip compile --quiet pyproject.toml $(LOCK) --group build -o requirements.lock
	$(BIN)/uv pip compile --quiet pyproject.toml $(LOCK) --group build --group dev -o requirements-dev.lock
	$(BIN)/uv pip compile --quiet bench/rivals/requirements.in $(LOCK) -o bench/rivals/requirements.lock

LOCK := --universal --python-version 3.11 --generate-hashes --upgrade \
	--no-header --no-emit-index-url --no-emit-find-links
