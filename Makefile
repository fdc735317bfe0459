# make demo   the main job, against a sandbox on this machine
# make test   all tests
# Both do their own set-up: a virtual environment in .venv with the locked dependencies.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host

.PHONY: demo test quick bench chaos lint format lock clean

demo: .venv/ready
	@$(BIN)/python -m integration demo

test: .venv/ready
	$(BIN)/python -m pytest -n 2 --dist worksteal

# The tests that start no processes.
quick: .venv/ready
	$(BIN)/python -m pytest -n 2 -m "not slow"

# How fast: the real server against the sandbox, beside two references in the same run (about 6 minutes).
bench: .venv/ready
	$(BIN)/python -m bench

# Two minutes of bad luck for each database and for many processes, and whether the promises held (about 8 minutes).
# `make chaos CHAOS="--seed 7 --many"` repeats one.
chaos: .venv/ready
	$(BIN)/python -m tests.chaos $(CHAOS)

lint: .venv/ready
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/ready
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# Writes the exact versions with hashes anew, from the ranges in pyproject.toml.
lock: .venv/ready
	$(COMPILE) --upgrade --output-file requirements.txt pyproject.toml
	$(COMPILE) --upgrade --extra dev --output-file requirements-dev.txt pyproject.toml

clean:
	rm -rf .venv

.venv/ready: requirements-dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Ringback needs Python 3.11 or newer; install it (on Debian: apt-get install python3 python3-venv)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is missing; install it (on Debian: apt-get install python3-venv)"; exit 1; }
	@echo "Setting up .venv (once; a minute at most)"
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@touch .venv/ready
