# make demo    set everything up and train the quickstart: two CPU cores, three to five minutes
# make test    set everything up and run the tests
# make quick   the tests, without those that start processes or generate cases
# make check   formatting, lint, types and tests
# make same-bytes BASE=COMMIT    compare weights and scores of short runs with an earlier commit's
# make fuzz    10,000 generated cases of each metric, 2,000 generated situations and 50 processes of the commands

PYTHON ?= python3
VENV ?= .venv
# Tests in as many processes as there are cores, each file's module fixtures once in each.
PYTEST := $(VENV)/bin/python -m pytest -n auto --maxprocesses 4 --dist worksteal
SETUP := $(VENV)/.setup-done

BASE ?= HEAD

.PHONY: demo test quick check same-bytes fuzz format clean

demo: $(SETUP)
	$(VENV)/bin/python -m textgan.train --preset quickstart

test: $(SETUP)
	$(PYTEST)

quick: $(SETUP)
	$(PYTEST) -m 'not slow and not fuzz'

check: $(SETUP)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(PYTEST)

same-bytes: $(SETUP)
	$(VENV)/bin/python -m tests.same_bytes $(BASE)

fuzz: $(SETUP)
	$(VENV)/bin/python -m pytest -m fuzz --hypothesis-profile=fuzz

format: $(SETUP)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

$(SETUP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[all,dev]'
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
