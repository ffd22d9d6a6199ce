# Everything starts from a clean clone: each target first sets up .venv if it is missing or out of date.

VENV_PYTHON := .venv/bin/python
BACKEND ?= lava
ATTACKS ?= tests/campaign
MINUTES ?= 2
# One file for every platform and Python, with the hash of every package: what is installed is what was locked.
RESOLVE = uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --quiet
# Three tests at a time, since many wait for processes; those of one file in one process, where they share what is made once.
SIDE_BY_SIDE := -n 3 --dist loadfile
ALONE = -m alone $$(grep -rl --include=*.py mark.alone tests)
# What is tested on the oldest and the newest Python, too: Lava, what every backend owes, other releases of libraries.
ON_OTHERS := tests/backends tests/pipeline/maps/test_method.py tests/pipeline/record tests/pipeline/imports
# Tests of what uses the package by its public names alone.
USERS := tests/paper tests/benchmarks
NO_USERS := $(USERS:%=--ignore=%)
PACKAGES := recordings backends pipeline spikesam paper benchmarks

# What was compiled once is kept, whatever the shell says: tests start some hundred processes.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-long test-users fuzz docs bench check format setup dist lock audit release clean

help: ## Show this help
	@echo "make <target>, where <target> is one of"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## See what three small networks look at: digits, a photo of a cat, and events, simulated on Lava (a minute; the first time some minutes more, to install)
	@rm -rf runs/demo-digits runs/demo-cat runs/demo-events
	@echo "1/3  Cluttered digits on $(BACKEND)"
	@$(VENV_PYTHON) -m spikesam run --backend $(BACKEND) --out runs/demo-digits
	@echo "2/3  A photo of a cat on $(BACKEND), through a network that knows ten classes (it will say lion, then cat)"
	@$(VENV_PYTHON) -m spikesam run --backend $(BACKEND) --checkpoint tiny-imagenet-10 \
		--data "$$($(VENV_PYTHON) scripts/cat_photo.py)" --out runs/demo-cat
	@echo "3/3  Digits before an event camera on $(BACKEND): they move, and the maps follow them"
	@$(VENV_PYTHON) -m spikesam run --backend $(BACKEND) --checkpoint saccade-digits --out runs/demo-events
	@echo "Open runs/demo-digits/report.html, runs/demo-cat/report.html or runs/demo-events/report.html in a browser."

test: setup ## Run the package's tests that take less than five minutes together; says so where node is missing for those of the page
	@$(VENV_PYTHON) -m pytest -q --no-header $(SIDE_BY_SIDE) $(NO_USERS) -m "not long"

test-long: setup ## Run the package's others: Lava, kills, Dask, Chromium, hostile files; all backends on the oldest and newest Python
	@$(VENV_PYTHON) -m pytest -q --no-header $(SIDE_BY_SIDE) $(NO_USERS) -m "long and not alone"
	@$(VENV_PYTHON) -m pytest -q --no-header $(ALONE)
	@used=$$($(VENV_PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	others=$$(scripts/setup.sh --list | sort -V | sed -n '1p;$$p' | uniq | grep -vxF "$$used"); \
	if [ -z "$$others" ]; then echo "no other Python is here: nothing was tested on the oldest and the newest"; [ -z "$$CI" ]; fi && \
	for python in $$others; do \
		VENV=.venv-$$python PYTHON=$$python scripts/setup.sh && \
		.venv-$$python/bin/python -m pytest -q --no-header $(SIDE_BY_SIDE) $(ON_OTHERS) || exit 1; \
	done

test-users: setup ## Run the tests of the experiments and benchmarks, which use the package as others do
	@$(VENV_PYTHON) -m pytest -q --no-header $(SIDE_BY_SIDE) $(USERS)

fuzz: setup ## Attack every entry point with new random cases for MINUTES=2, and say how they ended
	@$(VENV_PYTHON) -m pytest $(ATTACKS) -q --no-header --hypothesis-profile=fuzz --minutes=$(MINUTES) \
		$(if $(SEED),--hypothesis-seed=$(SEED))

docs: setup ## Build the site, and execute its tutorials (two to three minutes); warnings are errors
	@$(VENV_PYTHON) -m sphinx --builder html --fail-on-warning --keep-going --quiet --doctree-dir docs/_build/doctrees \
		docs docs/_build/html
	@echo "The site: docs/_build/html/index.html"

bench: setup ## Time this project beside its peers; keep the machine idle (more than half an hour)
	@$(VENV_PYTHON) -m benchmarks all

check: setup ## Lint, check formatting, types, imports, and where node is the page's scripts
	@$(VENV_PYTHON) -m ruff check --quiet
	@$(VENV_PYTHON) -m ruff format --check --quiet || { echo "some files are not formatted; run 'make format'"; exit 1; }
	@$(VENV_PYTHON) -m mypy --no-error-summary
	@$(VENV_PYTHON) -c 'import importlinter.cli as c; exit(c.lint_imports(no_logo=True))'
	@scripts/check_page.sh check
	@echo "all checks passed"

format: setup ## Format the code and fix what the linter can
	@$(VENV_PYTHON) -m ruff check --fix --quiet
	@$(VENV_PYTHON) -m ruff format
	@scripts/check_page.sh format

setup: ## Create .venv with the newest of Python 3.13 to 3.11, else 3.14, and the locked packages; other targets do this by themselves
	@scripts/setup.sh

dist: setup ## Build the source distribution and the wheel into dist/
	@rm -rf dist && $(VENV_PYTHON) -m hatchling build

lock: ## Resolve pyproject.toml and those of paper and benchmarks into requirements.lock anew, and the other locks beside it (needs uv)
	$(RESOLVE) --upgrade --extra dev --no-emit-package spikesam pyproject.toml */pyproject.toml --output-file requirements.lock
	$(RESOLVE) --no-deps requirements-nodeps.in --output-file requirements-nodeps.lock
	echo pip-audit | $(RESOLVE) --upgrade - --output-file scripts/audit.lock
	echo uv | $(RESOLVE) --upgrade - --output-file .ci/requirements.lock

audit: setup ## Report known vulnerabilities of the locked packages; nothing depends on the answer
	@$(VENV_PYTHON) scripts/audit.py

release: setup ## Check and build VERSION=0.1.0 into dist/, with digests, bill of materials and listings; CHECKS=skip leaves .ci/run out, NEWEST=3.13 takes another Python than 3.14 (needs uv)
	@$(VENV_PYTHON) -m scripts.release "$(VERSION)" --checks $(or $(CHECKS),run) $(if $(NEWEST),--newest $(NEWEST))

clean: ## Remove .venv, dist, caches and the results of the demo
	rm -rf .venv dist docs/_build node_modules runs/demo-digits runs/demo-cat runs/demo-events .pytest_cache .coverage .hypothesis .ruff_cache .mypy_cache .import_linter_cache
	find $(PACKAGES) tests scripts -name __pycache__ -type d -exec rm -rf {} +
