# Every target sets up what it needs, from nothing but Python and network access to the package registry.
PYTHON ?= python3
UV = uv==0.13.9
VENV = .venv
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed

# Settings of the calling shell that would send an installation, or an import, somewhere else than to .venv.
unexport PYTHONHOME PYTHONPATH VIRTUAL_ENV CONDA_PREFIX
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_PYTHON PIP_REQUIRE_VIRTUALENV
unexport UV_PYTHON UV_SYSTEM_PYTHON UV_TARGET UV_PREFIX

# uv does not read pip's settings: a mirror that is named for pip serves uv too.
ifdef PIP_INDEX_URL
UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
export UV_DEFAULT_INDEX
endif

.PHONY: help setup build verify lint test demo docs lock clean

help:
	@echo 'make setup    install everything that is pinned in requirements.lock into .venv'
	@echo 'make demo     build week 5, grade six submissions, show the table'
	@echo 'make test     build, then run all tests'
	@echo 'make build    source/ -> release/, solutions/ and autograder/bundles/'
	@echo 'make verify   test the tests: solution, blank release, mutants, alternates'
	@echo 'make lint     ruff and mypy'
	@echo 'make docs     the site, with executed solutions, in docs/_build/html'
	@echo 'make lock     pin the newest versions that pyproject.toml admits'
	@echo 'make clean    remove .venv, the bundles and all caches'
	@echo 'PYTHON=python3.12 chooses the Python of a new .venv.'

setup: $(INSTALLED)

# A .venv without the stamp is unfinished or somebody else's: it is made anew.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12 setup")'
	@test -e $(INSTALLED) || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet $(UV)
	$(BIN)/uv pip sync --quiet --python $(BIN)/python requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

build: setup
	$(BIN)/gradekit build

verify: setup
	$(BIN)/gradekit verify

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Tests that measure time run alone, after the others (pytest exits with 5 where there are none); so do the attacks, which
# take what they can get of the machine.
test: build
	$(BIN)/pytest -n 2 -m 'not timing' --ignore tests/attacks
	$(BIN)/pytest -n 0 -m timing --ignore tests/attacks || test $$? -eq 5
	$(BIN)/pytest -n 0 tests/attacks

demo: setup
	$(BIN)/gradekit demo

docs: build
	$(BIN)/python docs/pages.py
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -b html docs docs/_build/html
	@echo 'The site: docs/_build/html/index.html'

lock: setup
	$(BIN)/uv pip compile --quiet --python $(BIN)/python --universal --python-version 3.11 --upgrade \
	    --extra instructor --group dev --custom-compile-command 'make lock' --output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) autograder/bundles dist docs/_build docs/plan docs/solutions .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
