# gridfarm for developers: `make demo` shows it, `make test` proves it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO := gridfarm-demo


.PHONY: install demo test lint reference bench chaos clean

install: $(STAMP)

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

demo: install
	@$(BIN)/gridfarm render examples/shapes.yaml --workers 2 --out $(DEMO)

test: install
	$(BIN)/python -m pytest -n 4 --dist worksteal

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

reference: install
	$(BIN)/python -m producer.cli.reference > docs/commands.md
	$(BIN)/gridfarm schema > docs/batch.schema.json

bench: install
	$(BIN)/python -m tests.benchmarks

chaos: install
	$(BIN)/python -m tests.chaos

clean:
	rm -rf $(VENV) $(DEMO) build *.egg-info
