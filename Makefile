# Every word below makes the virtual environment first when it is missing or older than what it is made from.
# Only python3 (3.11 or newer) and make are needed beforehand.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types imports compiled pure test-compiled conformance bench bench-smoke docs docs-check check clean

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
	$(BIN)/pytest -n auto --dist worksteal

lint: $(STAMP) ## check the style
	$(BIN)/ruff check

types: $(STAMP) ## check the types, twice
	$(BIN)/mypy
	$(BIN)/pyright

imports: $(STAMP) ## check that imports go one way
	$(BIN)/lint-imports

conformance: $(STAMP) ## run Pykka's own tests on Sojourn's actors
	$(BIN)/python -m tests.pykka_conformance

compiled: $(STAMP) ## compile what every message passes (needs a C compiler); `make pure` takes it back
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[compile]'
	@rm -f actors/*.so gateway/*.so sojourn/*.so  # or after a failure what was compiled before would run on
	@SOJOURN_COMPILE=1 $(BIN)/python setup.py --quiet build_ext --inplace \
	  || { rm -f actors/*.so gateway/*.so sojourn/*.so; echo "NOT COMPILED: this checkout runs as plain Python" >&2; exit 1; }

pure: ## remove what `make compiled` made
	rm -rf build actors/*.so gateway/*.so sojourn/*.so

test-compiled: compiled ## run the tests on the compiled build
	$(BIN)/pytest -n auto --dist worksteal

bench: $(STAMP) ## ask every benchmark shortly, and draw what they found (minutes)
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks

bench-smoke: $(STAMP)
	$(BIN)/python -m benchmarks.throughput --quick

docs: $(STAMP) ## write the generated parts of README.md and docs/
	$(BIN)/python docs/generate.py

docs-check: $(STAMP)
	$(BIN)/python docs/generate.py --check

check: lint types imports docs-check conformance bench-smoke test ## all of it, as CI does

clean: ## remove what the words above made
	rm -rf $(VENV) .cache build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
