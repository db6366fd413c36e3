# The two commands a new user needs are `make run` and `make test`. The rest is for people who change the code.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := run
.PHONY: run test check lint unit bench lock clean

run: $(VENV)/run.stamp
	@exec $(BIN)/python manage.py up

# Everything CI runs: linters, unit tests on SQLite, then on real engines, then real browsers.
test: $(VENV)/dev.stamp node_modules/.stamp
	@$(BIN)/python -m tests.install
	@$(MAKE) --no-print-directory lint unit
	$(BIN)/pytest -m "browser or engines"

# The quick part: no browser, no servers.
check: $(VENV)/dev.stamp node_modules/.stamp lint unit

lint:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/djlint templates --check --lint --quiet
	node_modules/.bin/tsc -p .
	$(BIN)/python manage.py makemigrations --check --dry-run

unit:
	$(BIN)/pytest --numprocesses 2 -m "not browser and not engines"

# One at a time with NAME=join. Results: a table, and JSON in var/bench/.
bench: $(VENV)/dev.stamp
	@$(BIN)/python -m tests.install
	$(BIN)/python -m tests.benchmarks $(NAME)

# Lock files hold hashes and no download addresses.
lock:
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --universal --python-version 3.11 requirements.in -o requirements.txt
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --universal --python-version 3.11 requirements-dev.in -o requirements-dev.txt
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --universal --python-version 3.11 --constraints requirements-dev.txt pyproject.toml --extra transit -o requirements-transit.txt
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --universal --python-version 3.11 --constraints requirements-dev.txt pyproject.toml --extra kms -o requirements-kms.txt

$(VENV)/bin/python:
	@[ -w . ] || { echo "This folder cannot be written; copy the project to one that can."; exit 1; }
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or later is needed; install python3 and python3-venv."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; name one with make PYTHON=python3.12."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "A virtual environment could not be made; install python3-venv."; exit 1; }

$(VENV)/run.stamp: requirements.txt | $(VENV)/bin/python
	@echo "Installing what the product needs (once, about a minute) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(VENV)/dev.stamp: requirements-dev.txt | $(VENV)/bin/python
	@echo "Installing what the tests need (once, about two minutes) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@ $(VENV)/run.stamp

node_modules/.stamp: package-lock.json
	@command -v npm >/dev/null || $(PYTHON) -m tests.install nodejs npm
	@npm ci --silent --no-audit --no-fund
	@touch $@

clean:
	rm -rf $(VENV) node_modules .mypy_cache .ruff_cache .pytest_cache
