# `make test` and `make demo` set up a fresh machine that has Python 3.11 and make; nothing else is installed by hand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup lint format types unit docs test demo lock clean

setup: $(VENV)/.installed

# What is installed is exactly what the lock file pins, hence --no-deps; cleser itself is linked, not copied.
$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: setup
	$(BIN)/mypy

unit: setup
	$(BIN)/pytest

docs: setup
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

test: lint types unit docs

demo: setup
	$(BIN)/cleser demo

# After a change of dependencies in pyproject.toml, from an environment that holds them all. Left out are resemblyzer's
# typing (part of Python) and webrtcvad (webrtcvad-wheels stands in for it).
lock:
	$(BIN)/python -m pip install --quiet --upgrade --editable '.[dev]'
	$(BIN)/python -m pip freeze --exclude-editable | grep -v -e '^typing==' -e '^webrtcvad==' > requirements.lock

clean:
	rm -rf $(VENV) docs/_build docs/auto_examples
