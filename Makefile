# fusepot: `make demo` and `make test` work on a bare machine (Python 3.11+, a C++ compiler, pip); see README.md.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml $(wildcard src/CMakeLists.txt lammps_interface/CMakeLists.txt lammps_interface/*.py lammps_interface/src/* src/native/*)
# Huge pages halve the cost of XLA's temporaries on a CPU; read by glibc at program start.
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

.PHONY: demo test test-slow bench lint format clean
.DELETE_ON_ERROR:

demo: $(VENV)/.lammps ## train a titanium potential on PBE and experiment, run LAMMPS with it on two ranks, print a table
	$(BIN)/python examples/titanium/demo.py --out demo-run

test: $(VENV)/.test ## the tests, under 25 minutes on two cores
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --durations=15

test-slow: $(VENV)/.test ## the long checks
	$(BIN)/python -m pytest -q -m slow --durations=15

bench: $(VENV)/.test ## measure the speed ratios and write benchmarks/results.json
	$(BIN)/python -m benchmarks

lint: $(VENV)/.dev ## style, types, and who may import whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf build demo-run .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fusepot needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

# One stamp per set of extras; the compiled plugin is rebuilt when its sources change.
$(VENV)/.lammps $(VENV)/.test $(VENV)/.dev: $(VENV)/.%: $(BIN)/python $(SOURCES)
	@echo "installing fusepot with [$*] into $(VENV): a minute or two"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@
