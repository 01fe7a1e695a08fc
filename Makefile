# `make test` and `make demo` set up a fresh machine that has Python 3.11 and make; nothing else is installed by hand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# As the command line does: threads that wait give their core to others.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: setup lint format types unit unit-runs unit-parts numeric numeric-avx2 numeric-default numeric-single docs test test-versions faults demo lock clean

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

# Two halves of about the same length.
WHOLE_RUNS := tests/experiments tests/recipes tests/evaluation
unit: unit-runs unit-parts

unit-runs: setup
	$(BIN)/pytest $(WHOLE_RUNS)

unit-parts: setup
	$(BIN)/pytest cleser tests $(addprefix --ignore=,$(WHOLE_RUNS))

# What is computed, once more as other processors would and on one thread: sums are then taken in other orders. Tests marked
# `native` are left out: torch.compile and attention in half precision look for instructions themselves, which the variable upsets.
test_files = $(patsubst %,tests/$(1)/test_%.py,$(2))
NUMERIC := tests/losses tests/models $(call test_files,anchors,bank consistency layer_similarity pooling streaming) \
	$(call test_files,graphs,agreement mixing neighbours offsets refine tiles) $(call test_files,recipes,pseudo_labels steps) \
	$(call test_files,speech,acoustic descriptors long_convolution pitch pretrained) \
	$(call test_files,features,lexical normalisation sentences standards stored) $(call test_files,alignment,warping)

numeric: numeric-avx2 numeric-default numeric-single

numeric-avx2 numeric-default: setup
	ATEN_CPU_CAPABILITY=$(@:numeric-%=%) $(BIN)/pytest -m "not native and not slow" $(NUMERIC)

numeric-single: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not native and not slow" $(NUMERIC)

# Puts deliberate faults into a copy of the code, one by one; the tests must notice each.
faults: setup
	$(BIN)/python -m tests.faults

# Environments of the oldest and the newest releases that pyproject.toml admits; downloads gigabytes. PYTHON names the interpreter.
test-versions:
	$(PYTHON) -m tests.versions --python $(PYTHON)

docs: setup
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	$(BIN)/python docs/check_pages.py docs/_build/html

# Two at a time: most tests keep one core busy.
test: lint types
	$(MAKE) -j 2 unit-runs unit-parts numeric docs

demo: setup
	$(BIN)/cleser demo

# After a change of dependencies in pyproject.toml, from an environment that holds them all. Left out are resemblyzer's
# typing (part of Python) and webrtcvad (webrtcvad-wheels stands in for it).
lock:
	$(BIN)/python -m pip install --quiet --upgrade --editable '.[dev]'
	$(BIN)/python -m pip freeze --exclude-editable | grep -v -e '^typing==' -e '^webrtcvad==' > requirements.lock

clean:
	rm -rf $(VENV) docs/_build docs/auto_examples
