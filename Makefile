# `make` prints what there is. Everything happens in .venv/ and .local/; nothing outside of them is touched.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/requirements.stamp

.DEFAULT_GOAL := help
.PHONY: help venv up demo test test-thorough faults schemathesis lint format bench bench-10gb bench-api bench-outbox requirements stop clean

help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(STAMP) ## Make .venv with everything that is needed

$(STAMP): requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is %d.%d. Try: make PYTHON=python3.12" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { echo "Making .venv"; $(PYTHON) -m venv --clear .venv; }
	@echo "Installing requirements"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-dev.txt
	@touch $(STAMP)

up: $(STAMP) ## Start everything here until Ctrl-C: site, workers, databases (PORT=8000)
	@exec $(BIN)/python tools/up.py

demo: $(STAMP) ## Load a made-up file with defects and show what became of it
	@$(BIN)/python tools/demo.py

test: $(STAMP) ## Run all tests (starts its own Postgres, Valkey and Kafka)
	@$(BIN)/python -m pytest -n 2 --dist loadgroup

test-thorough: $(STAMP) ## The same with every variant and five times the random examples (about 20 minutes)
	@SLUICE_THOROUGH=1 $(BIN)/python -m pytest -n 2 --dist loadgroup -m "slow or not slow"

faults: $(STAMP) ## Kill workers, the command and Postgres 50 times (about 4 minutes)
	@SLUICE_FAULT_KILLS=50 $(BIN)/python -m pytest tests/faults

schemathesis: $(STAMP) ## Try to break the API with some thousands of requests (about 10 minutes)
	@SLUICE_SCHEMATHESIS_EXAMPLES=60 $(BIN)/python -m pytest -s tests/integration/running/test_schemathesis.py

lint: $(STAMP) ## Check style, types, import directions and migrations
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python manage.py makemigrations --check --dry-run

format: $(STAMP) ## Format the code and sort its imports
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

bench: $(STAMP) ## Measure our speed beside what others reach (about 15 minutes)
	@$(BIN)/python -m benchmarks.ingest

bench-10gb: $(STAMP) ## Load 10 GB and watch rate and memory (needs 60 GB of disk)
	@$(BIN)/python -m benchmarks.ten_gb

bench-api: $(STAMP) ## Measure the API: cached reads, uploads, imports, orders beside a bulk load (about 5 minutes)
	@$(BIN)/python -m benchmarks.api

bench-outbox: $(STAMP) ## Measure the relay beside bare producers, on an Apache Kafka of its own (about 10 minutes)
	@$(BIN)/python -m benchmarks.outbox

requirements: $(STAMP) ## Compile requirements*.in into requirements*.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@for name in requirements requirements-dev; do \
		{ echo "# Compiled from $$name.in by \`make requirements\`."; \
		  $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --annotation-style line \
			--no-emit-index-url --no-emit-find-links $$name.in; } > $$name.txt.new && mv $$name.txt.new $$name.txt; \
	done

stop: ## Stop the local Postgres, Valkey and Kafka
	@test ! -x $(BIN)/python || $(BIN)/python -m config.embedded stop

clean: ## Stop the local services; remove .venv and .local with all local data
	@test ! -x $(BIN)/python || $(BIN)/python -m config.embedded destroy
	@rm -rf .venv .local .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .schemathesis
