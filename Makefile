# Every word below makes the virtual environment first when it is missing or older than what it is made from.
# Only python3 (3.11 or newer) and make are needed beforehand.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types imports conformance bench bench-smoke docs docs-check check clean

help: ## list these words
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Sojourn needs Python 3.11 or newer: make setup PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $(STAMP)

setup: $(STAMP) ## make .venv with everything for development

demo: $(STAMP) ## start a server, replay real conversations into it, look at what it holds
	@$(BIN)/sojourn demo

test: $(STAMP) ## run the tests
	$(BIN)/pytest -n auto

lint: $(STAMP) ## check the style
	$(BIN)/ruff check

types: $(STAMP) ## check the types, twice
	$(BIN)/mypy
	$(BIN)/pyright

imports: $(STAMP) ## check that imports go one way
	$(BIN)/lint-imports

conformance: $(STAMP) ## run Pykka's own tests on Sojourn's actors
	$(BIN)/python -m tests.pykka_conformance

bench: $(STAMP) ## measure throughput (minutes)
	$(BIN)/python -m benchmarks.throughput

bench-smoke: $(STAMP)
	$(BIN)/python -m benchmarks.throughput --quick

docs: $(STAMP) ## write the generated parts of README.md and docs/
	$(BIN)/python docs/generate.py

docs-check: $(STAMP)
	$(BIN)/python docs/generate.py --check

check: lint types imports docs-check conformance bench-smoke test ## all of it, as CI does

clean: ## remove what the words above made
	rm -rf $(VENV) .cache build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
