# Every target works on a fresh clone: what it needs is built first, from requirements.lock.
PYTHON ?= python3
# UV_TORCH_BACKEND=cpu installs CPU-only builds of torch and torchvision (about 1 GB instead of 6); make clean first to change over.
UV_TORCH_BACKEND ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 MPLBACKEND=Agg
# Bytecode is kept, or every process compiles torch, Lightning and the tests again.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
RUN ?=
DATA ?= mnist
.PHONY: help setup demo test test-all browser bench features model docs notebooks results format lock clean

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1: \2/p' $(MAKEFILE_LIST)

setup: $(STAMP) ## build .venv from requirements.lock (nothing to do when it is up to date)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Scorewise needs Python 3.11 or newer, $(PYTHON) is older: call make with PYTHON=/path/to/python3.11." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet "$$(sed -n 's/^uv==\([^ ]*\).*/uv==\1/p' requirements.lock)"
ifeq ($(UV_TORCH_BACKEND),)
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
else
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-verify-hashes --torch-backend=$(UV_TORCH_BACKEND) -c requirements.lock hatchling editables setuptools
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-verify-hashes --torch-backend=$(UV_TORCH_BACKEND) --no-build-isolation -c requirements.lock -e '.[dev]'
endif
	@$(BIN)/python -c 'import scorewise.run.training'  # compiles what a training imports: else the first command does
	@touch $(STAMP)

demo: $(STAMP) ## train AR-CSM and a baseline on 8x8 digits, and compare them
	@echo "1/2  the baseline, a MADE with Gaussian conditionals: python src/train.py experiment=gaussian_digits"
	@$(BIN)/python src/train.py experiment=gaussian_digits
	@echo "2/2  AR-CSM: python src/train.py"
	@$(BIN)/python src/train.py
	@echo "both: python src/compare.py runs/mle-made-gaussian-digits runs/csm-made-digits"
	@$(BIN)/python src/compare.py runs/mle-made-gaussian-digits runs/csm-made-digits

test: $(STAMP) ## lint, types and the quick tests (what CI calls)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	@$(ONE_THREAD) $(BIN)/python -m pytest -n 2 --dist=worksteal --durations=10 -m "not slow"

test-all: $(STAMP) ## the quick tests and those marked slow
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	@$(ONE_THREAD) $(BIN)/python -m pytest -n 2 --dist=worksteal --durations=10

browser: $(STAMP) ## a headless Chromium for the slow test of the comparison page: Playwright's, or Debian's where that is out of reach
	@for name in chromium chromium-browser google-chrome; do command -v $$name && exit 0; done; \
		$(BIN)/python -m playwright install chromium || \
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; }

bench: $(STAMP) ## measure the claims; RUN= is a finished run of experiment=csm_mnist, else that is trained first
	@$(ONE_THREAD) $(BIN)/python benchmarks/train_step.py
	@$(ONE_THREAD) $(BIN)/python benchmarks/memory.py
	@$(ONE_THREAD) $(BIN)/python benchmarks/exact_sm.py
	@run="$(RUN)"; test -n "$$run" || run=$$($(ONE_THREAD) $(BIN)/python src/train.py experiment=csm_mnist | sed -n 's/.*run folder: //p' | tail -1); \
		$(ONE_THREAD) $(BIN)/python benchmarks/sampling.py --run "$$run"
	@$(ONE_THREAD) $(BIN)/python benchmarks/vae.py
	@$(ONE_THREAD) $(BIN)/python benchmarks/wine_density.py
	@$(BIN)/python -m scorewise.figures.results_page

features: $(STAMP) ## train the classifier whose features FID and KID compare; DATA= is a data set with labels
	@$(BIN)/python src/features.py data=$(DATA)

model: $(STAMP) ## train the digits model that comes with the package, scorewise.load("digits"), again
	@$(ONE_THREAD) $(BIN)/python src/train.py hydra.run.dir=runs/digits_model
	@$(BIN)/python -c 'import scorewise; print(scorewise.load("runs/digits_model").save("src/scorewise/trained_models/digits"))'

docs: $(STAMP) ## build the documentation for a browser: docs/_build/index.html
	@$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build
	@echo docs/_build/index.html

notebooks: $(STAMP) ## execute the notebooks of docs/notebooks/ again and store what they show
	@$(BIN)/python docs/notebooks/execute.py

results: $(STAMP) ## build docs/results.md, the table of docs/performance.md and docs/options.md
	@$(BIN)/python -m scorewise.figures.results_page
	@$(BIN)/python docs/options.py

format: $(STAMP) ## format the code
	@$(BIN)/ruff check --fix-only . && $(BIN)/ruff format .

lock: $(STAMP) ## resolve requirements.lock again from pyproject.toml
	@$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --quiet -o requirements.lock

clean: ## remove what the targets made, but no run
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
