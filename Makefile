# `make demo` and `make test` work on a machine with nothing but Python >= 3.11, git and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test test-slow docs lint bench clean

demo: $(VENV)/.demo-installed
	$(BIN)/flowsuite demo

test: $(VENV)/.test-installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -q

test-slow: $(VENV)/.test-installed
	$(BIN)/python -m pytest -q -m slow

docs: $(VENV)/.test-installed
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

lint: $(VENV)/.test-installed
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

bench: $(VENV)/.test-installed
	$(BIN)/pip install -q -e '.[bench]'
	$(BIN)/python -m benchmarks images

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "flowsuite needs Python >= 3.11, $(PYTHON) is older: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo-installed: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install -q -e '.[images,pointclouds,molecules,audio,video]'
	@touch $@

$(VENV)/.test-installed: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install -q -e '.[images,pointclouds,molecules,audio,video,tabular,test]'
	@touch $@

clean:
	rm -rf $(VENV) runs build docs/_build docs/api *.egg-info
