# The entry points of people and CI. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
# Dev dependencies that only some targets need stay in the one extra: one environment, one truth.
export PIP_DISABLE_PIP_VERSION_CHECK = 1
TESTS ?= tests
JOBS ?= auto

.DEFAULT_GOAL := help
.PHONY: help dev demo test lint reformat oracle stacks kill9 verify-matrix bench programs causes clean

help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

dev: $(STAMP)  ## make the environment

# The demo needs the runtime dependencies only: seconds on a fresh machine.
$(VENV)/.demo: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -e $(STAMP) || $(BIN)/pip install --quiet --editable .
	touch $@

demo: $(VENV)/.demo  ## the main job: an image, a capability, a non-root server on port 80
	$(BIN)/caplet demo

test: $(STAMP) lint  ## lint, then all tests; TESTS=path narrows
	$(BIN)/pytest -n $(JOBS) $(TESTS)

lint: $(STAMP)  ## ruff, mypy strict, pyright, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --warnings
	$(BIN)/lint-imports

reformat: $(STAMP)  ## let ruff mend what it can
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

oracle: $(STAMP)  ## 100,000 random programs: the model against this kernel
	$(BIN)/python -m tests.kernel.oracle --count 100000

kill9: $(STAMP)  ## 200 writes of an image, each killed at a random moment
	$(BIN)/python -m tests.image.kill9 --count 200

stacks: $(STAMP)  ## 10,000 random stacks of layers: the final file system against containerd (root; half an hour)
	$(BIN)/python -m tests.image.stacks --count 10000

verify-matrix: $(STAMP)  ## every combination of Pod and program on every engine here, predicted and observed (root; ten minutes)
	$(BIN)/python -m tests.verify.matrix

bench: $(STAMP)  ## every figure that the documentation quotes
	$(BIN)/python -m bench

programs: $(STAMP)  ## rebuild the C programs that caplet ships
	$(BIN)/python -m caplet.programs.build

causes: $(STAMP)  ## write docs/causes anew, of the causes' docstrings
	$(BIN)/python -m caplet.causes docs/causes

clean:  ## remove what the targets made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
