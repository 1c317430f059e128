# The project's commands. They need make and Python >= 3.11; everything else goes into .venv, made at the first call.
#   make exercise ARGS="--epochs 3"     ARGS is passed on
#   make test PYTHON=python3.12         another interpreter than python3

PYTHON ?= python3
ARGS ?=
VENV := .venv
VENV_PYTHON := $(VENV)/bin/python
INSTALL := $(VENV_PYTHON) -m pip install --quiet --disable-pip-version-check --editable
PYTEST := $(VENV_PYTHON) -m pytest -q
# A pip configured to install for the user refuses to install into an environment.
export PIP_USER := 0

# Where there is an NVIDIA driver and no CuPy: the one that suits the driver.
WITH_CUPY = extra=$$($(VENV_PYTHON) -m tests.gpu_check --extra) || exit; test -z "$$extra" || { \
	  echo "Installing CuPy for the driver: the extra $$extra"; $(INSTALL) ".[dev,$$extra]" \
	  || echo "pip could not install: its message stands above." >&2; }

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Two targets asked for at once must not install into one environment at once.
.NOTPARALLEL:
# Every script in examples/ but what they share and the exercise.
LESSONS := $(filter-out lesson cifar10_exercise,$(basename $(notdir $(wildcard examples/*.py))))

.PHONY: help exercise gallery bench bench-gpu test test-strict test-all gpu-check soak check clean

help:
	@echo 'make exercise    train the four variants of the exercise on images that come with the package: a table and'
	@echo '                 a picture of the learning curves; options: make exercise ARGS="--epochs 3"'
	@echo 'make gallery     run every lesson in examples/ and write its picture to gallery/; one: make gallery LESSONS=dropout'
	@echo 'make bench       measure speed and memory beside the frameworks that are installed; ARGS="--help" explains'
	@echo 'make bench-gpu   the same on an NVIDIA GPU, beside PyTorch and JAX on the same card; ARGS="--help" explains'
	@echo 'make test        run the tests: all that are fast, and a sample of each heavy one; ARGS goes to pytest'
	@echo 'make test-strict run the same tests, every one on the double that is as strict as CuPy'
	@echo 'make test-all    run make test-strict, then every test at its full count'
	@echo 'make gpu-check   on a machine with an NVIDIA GPU: run the tests and the probes that need one, and print a table;'
	@echo '                 elsewhere say why not, and do nothing; ARGS="--help" explains'
	@echo 'make soak        try random models and files: make soak ARGS="--seconds 300 --seed 7"; prints what repeats a failure'
	@echo 'make check       check style (ruff), types (mypy --strict) and the direction of imports (import-linter)'
	@echo 'make clean       remove .venv, builds and caches; results stay'
	@echo
	@echo 'Each makes .venv at its first call and installs there what it needs.'
	@echo 'Another interpreter than python3: make test PYTHON=python3.12'

exercise: $(VENV)/.for-use
	@$(VENV_PYTHON) examples/cifar10_exercise.py $(ARGS)

gallery: $(VENV)/.for-use
	@for lesson in $(LESSONS); do echo "-- $$lesson"; $(VENV_PYTHON) examples/$$lesson.py $(ARGS) || exit; done

bench: $(VENV)/.for-development
	@$(VENV_PYTHON) benchmarks/bench.py $(ARGS)

bench-gpu: $(VENV)/.for-development
	@$(WITH_CUPY)
	@$(VENV_PYTHON) benchmarks/gpu.py $(ARGS)

test: $(VENV)/.for-development
	@$(PYTEST) -m 'not heavy and not gpu' $(ARGS)

test-strict: $(VENV)/.for-development
	@TINYGRAD_DNN_BACKEND=strict $(PYTEST) -m 'not heavy and not gpu' $(ARGS)

test-all: test-strict
	@$(PYTEST) -m 'not gpu' $(ARGS)

gpu-check: $(VENV)/.for-development
	@$(WITH_CUPY)
	@$(VENV_PYTHON) -m tests.gpu_check $(ARGS)

soak: $(VENV)/.for-development
	@$(VENV_PYTHON) -m tests.soak $(ARGS)

check: $(VENV)/.for-development
	@$(VENV_PYTHON) -m ruff check .
	@$(VENV_PYTHON) -m mypy
	@$(VENV)/bin/lint-imports --no-logo --no-cache

clean:
	rm -rf $(VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A virtual environment holds absolute paths and one interpreter: made in another folder, left without its
# interpreter, or asked for with a PYTHON that is not its own, it is made anew.
version = $(shell $(1) -c 'import sys; print(sys.version)' 2>/dev/null)
ifneq ($(shell cat $(VENV)/.made-in 2>/dev/null),$(shell pwd -P))
.PHONY: $(VENV)/.made-in
else ifeq ($(call version,$(VENV_PYTHON)),)
.PHONY: $(VENV)/.made-in
else ifneq ($(origin PYTHON),file)
ifneq ($(call version,$(VENV_PYTHON)),$(call version,$(PYTHON)))
.PHONY: $(VENV)/.made-in
endif
endif

# The stamp is written last, so that what an interrupted call leaves is never taken for an environment.
$(VENV)/.made-in:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not there: install Python >= 3.11," \
	  "or name an interpreter, as in: make PYTHON=/usr/bin/python3.12"; exit 1; } >&2
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Python >= 3.11 is needed and $(PYTHON) is $$($(PYTHON) --version 2>&1 | head -n 1): install a newer one," \
	  "or name it, as in: make PYTHON=python3.12"; exit 1; } >&2
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  v=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	  echo "$(PYTHON) is Python $$v without ensurepip, which makes virtual environments. On Debian and Ubuntu:" \
	  "apt-get install python3-venv (or python$$v-venv). Elsewhere: your distribution's package with Python $$v's" \
	  "venv and ensurepip. Or name another interpreter, as in: make PYTHON=/usr/local/bin/python3"; exit 1; } >&2
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
	@pwd -P > $@

$(VENV)/.for-use: pyproject.toml $(VENV)/.made-in
	@echo 'Installing the package and what it needs into $(VENV)'
	@$(INSTALL) '.[data,jit,plot]' || { \
	  echo 'Without llvmlite, then, which makes machine code of training steps: NumPy runs them.' >&2; \
	  $(INSTALL) '.[data,plot]' || { echo 'pip could not install: its message stands above.' >&2; exit 1; }; }
	@touch $@

$(VENV)/.for-development: pyproject.toml $(VENV)/.made-in
	@echo 'Installing the package, what it needs and the test tools into $(VENV)'
	@$(INSTALL) '.[dev]' || { echo 'pip could not install: its message stands above.' >&2; exit 1; }
	@touch $@ $(VENV)/.for-use
