# `make check` is what CI runs; `make format` mends what a tool can mend.
PYTHON ?= python

.PHONY: check format lint types test fetch

check: lint types test

lint:
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .

types:
	$(PYTHON) -m mypy

test:
	$(PYTHON) -m pytest

format:
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

fetch:
	$(PYTHON) -m unified_demo.zoo fetch
