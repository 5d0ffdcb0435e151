# gridfarm for developers: `make demo` shows it, `make test` proves it, `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help

.PHONY: help install demo test test-fast lint format reference bench chaos clean

# The text behind ## is what `make help` prints; a test asks for it at every target.
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## everything into .venv: gridfarm, what it renders with, what the tests need

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "gridfarm needs Python 3.11 or newer; $$($(PYTHON) --version) is $(PYTHON)." \
	         "Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@echo "Installing gridfarm and what it renders with (torch, diffusers, Valkey, …) into $(VENV):"
	@echo "about 0.5 GB to download with the CPU build of torch, several GB with a CUDA build."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check \
	  -c constraints.txt torch==2.13.0 -e '.[dev]'
	@touch $(STAMP)

demo: install ## a grid of 60 pictures on this machine, with the tiny SDXL, in half a minute
	@$(BIN)/gridfarm render examples/shapes.yaml --workers 2

test: install ## every test, on a real broker and a real S3 server
	$(BIN)/python -m pytest -n 5 --dist worksteal

test-fast: install ## the tests that need neither servers nor torch, in under a minute
	$(BIN)/python -m pytest -n 2 -m "not integration and not torch and not slow"

lint: install ## ruff, mypy and the architecture: order of imports, doors, libraries, sizes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m tests.architecture

format: install ## put imports and lines in order, mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

reference: install ## write docs/commands.md and docs/batch.schema.json from the code
	$(BIN)/python -m producer.cli.reference > docs/commands.md
	$(BIN)/gridfarm schema > docs/batch.schema.json

bench: install ## what gridfarm costs over plain diffusers, as ratios within one run
	$(BIN)/python -m tests.benchmarks

chaos: install ## kills, preemptions, cut connections, hostile input and a million cells, in figures
	$(BIN)/python -m tests.chaos

clean: ## remove .venv and what was built; what was rendered stays in gridfarm-out
	rm -rf $(VENV) build *.egg-info
