# Two commands do everything: `make train` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: train test test-slow test-all lint clean

train: .venv/installed
	$(BIN)/python scripts/train.py

test: .venv/installed lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

test-slow: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m slow

test-all: test test-slow

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/installed: pyproject.toml
	$(PYTHON) -c "import sys; sys.exit('Dragoman needs Python 3.11 or newer; choose one with PYTHON=python3.x' if sys.version_info < (3, 11) else 0)"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
