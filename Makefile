# Two commands for a fresh machine: `make demo` and `make test`. Both set everything up.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
# Tests run two files at a time, in the order of tests/conftest.py; the tests of a file share what they set up. The
# slowest, and what was skipped, are named at the end.
SPREAD := -n 2 --dist loadfile --no-loadscope-reorder --durations=20 --durations-min=5 -rfEs
BENCHMARKS := scoring features training handbook replay guard pollution selection gate stability evasion memory alerts monitoring world adaptation crash overload soak

.PHONY: setup compiled demo test quick check lint types proto dashboards bench simulate fuzz clean

setup: $(STAMP)

# Tests start hundreds of processes: none of them has to compile the sources again, whatever the environment says.
compiled: setup
	$(BIN)/python -m compileall -q -x '/[.]peers/' fraud tests benchmarks deploy

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11 …" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: setup
	$(BIN)/fraud demo --out demo

# Every rule of the repository is a test: lint, types, import direction, sizes, generated code.
test: compiled
	$(BIN)/python -m pytest $(SPREAD)

# Unit and property tests alone: nothing that starts and kills processes.
quick: compiled
	$(BIN)/python -m pytest $(SPREAD) -m "not process"

check: lint types test

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

proto: setup
	$(BIN)/python -m grpc_tools.protoc -Iproto --python_out=. \
	  --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy --mypy_out=quiet:. proto/fraud/v1/*.proto

# What is generated under deploy/: the dashboards, and the tests of the alert rules.
dashboards: setup
	$(BIN)/python -m deploy.grafana.build
	$(BIN)/python -m deploy.prometheus.cases

# Each benchmark for a minute, to see that it runs; for figures, run one without --quick. Status 2: its data is not there.
bench: setup
	for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name --quick || test $$? -eq 2 || exit 1; done

# The service over a disk, a clock and workers that fail, with new seeds; stops at the first broken promise.
MINUTES ?= 10
simulate: setup
	$(BIN)/python -m tests.simulation --minutes $(MINUTES)

# Everything that reads bytes somebody else may have written, guided by coverage; stops with a table of what was tried.
fuzz: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES)

clean:
	rm -rf $(VENV) build demo *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
