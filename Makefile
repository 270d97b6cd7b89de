# `make` or `make help` lists the targets. Only Python (3.11 or newer) and make are needed beforehand.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO_RUN ?= runs/demo
# Number of test processes; 0 runs the tests in one process, where a debugger works.
WORKERS ?= auto
PYTEST := $(BIN)/pytest --numprocesses $(WORKERS) --maxprocesses 8 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help install demo docs site notebooks test test-fast lint format types check clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

INSTALL = $(PYTHON) -m venv $(VENV) && \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e

$(VENV)/.user: pyproject.toml constraints.txt
	$(INSTALL) ".[offline]"
	@touch $@

# .dev includes the packages of .user.
$(VENV)/.dev: pyproject.toml constraints.txt
	$(INSTALL) ".[dev]"
	@touch $(VENV)/.user $@

install: $(VENV)/.user ## Set up .venv with otembed and its offline encoder

demo: $(VENV)/.user ## Train on the starter text and show retrieval of sentences and words before and after (a few minutes on 2 cores)
	$(BIN)/otembed train --preset starter --output $(DEMO_RUN) --overwrite

docs: $(VENV)/.user ## Write docs/cli.md from the help texts of all commands
	$(BIN)/python -m otembed.cli.reference > docs/cli.md.new
	mv docs/cli.md.new docs/cli.md

site: $(VENV)/.dev ## Build the documentation as a site in build/site, strictly
	$(BIN)/python website/build_site.py

notebooks: $(VENV)/.dev ## Run the tutorials and store their outputs; draw the picture of the start page
	$(BIN)/python website/notebooks.py
	$(BIN)/python website/plan_picture.py

test: $(VENV)/.dev ## Run all tests
	$(PYTEST)

test-fast: $(VENV)/.dev ## Run the tests that are not marked slow
	$(PYTEST) -m "not slow"

lint: $(VENV)/.dev ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev ## Fix style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.dev ## Check types
	$(BIN)/mypy

check: lint types test ## Lint, types and tests

clean: ## Remove .venv, build outputs and caches; keep runs
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .cache *.egg-info build dist
