# distbragg: set-up, demo and checks. Everything is installed from package registries by pip.
#
#   make demo     render the demonstration sweep into demo.zarr and demo.png
#   make test     every check and every test; what .ci/run calls
#   make check    the checks alone, without pytest
#   make wheel    a wheel with the compiled kernel, into dist
#
# PYTHON picks the interpreter (3.11 or newer), VENV the environment's folder.

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
NATIVE_ARGS ?=
# Processes that the tests are shared out to, module by module; 0 runs them in one, as pdb needs.
# Tests of clusters wait as much as they work: four keep two cores busy. Modules go in the order of
# their names, which has the slow ones of tests/integration early and leaves small ones for the end.
PYTEST_PROCESSES ?= 4
BENCH_ARGS ?=
TOPIC ?= source-weights
EVIDENCE_ARGS ?=
CHAOS_ARGS ?=
ACCEPT_ARGS ?=

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check
SOURCES := distbragg tests tools
# Some environments forbid it to keep byte code: each of a thousand processes would compile anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

.PHONY: venv
venv: $(STAMP) ## Make the environment and install distbragg into it

# The old pip of a fresh interpreter knows no dependency groups, so pip itself comes first.
# torch comes before the rest so that a locally provided build of the same version is kept.
# Of dask-kubernetes only the schemas are read, by tests: its forty dependencies stay out.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "distbragg needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet -c constraints.txt pip
	$(PIP) install --quiet -c constraints.txt torch
	$(PIP) install --quiet -c constraints.txt hatchling editables
	$(PIP) install --quiet -c constraints.txt --no-build-isolation -e . --group dev
	$(PIP) install --quiet -c constraints.txt --no-deps dask-kubernetes
	@touch $@

# Needs no environment, only Python and a C++ compiler; does nothing where nothing has changed.
.PHONY: native
native: ## Compile the native kernel in place; NATIVE_ARGS=--here compiles this CPU's level alone
	$(PYTHON) -m tools.build_native $(NATIVE_ARGS)

# Repaired, a wheel names the oldest C library that it runs with.
.PHONY: wheel
wheel: $(STAMP) native ## Build a wheel with the compiled kernel into dist; CXX names the compiler
	rm -rf build/wheel
	$(PIP) wheel --quiet --no-deps --no-build-isolation -w build/wheel .
	mkdir -p dist
	if test -x $(BIN)/auditwheel; then \
	  PATH="$(abspath $(BIN)):$$PATH" auditwheel repair -w dist build/wheel/*.whl; \
	else cp build/wheel/*.whl dist; fi

.PHONY: demo
demo: $(STAMP) ## Render the demonstration sweep into demo.zarr and demo.png
	$(BIN)/distbragg demo

.PHONY: bench
bench: $(STAMP) ## Measure speed into reports/performance; NB_C_BIN adds the C program
	$(BIN)/python -m tools.bench report $(BENCH_ARGS)

.PHONY: bench-gpu
bench-gpu: $(STAMP) ## Measure all that is claimed of a GPU into reports/gpu
	$(BIN)/python -m tools.bench gpu $(BENCH_ARGS)

.PHONY: bench-closed
bench-closed: $(STAMP) ## Time Gaussian crystals in closed form into reports/closed-form; NB_C_BIN adds the C program
	$(BIN)/python -m tools.bench closed-form $(BENCH_ARGS)

.PHONY: bench-spread
bench-spread: $(STAMP) ## Time the point spread of panels on one core into reports/point-spread
	$(BIN)/python -m tools.bench point-spread $(BENCH_ARGS)

.PHONY: bench-recorded
bench-recorded: $(STAMP) ## Time images that a detector would have recorded into reports/recorded
	$(BIN)/python -m tools.bench recorded $(BENCH_ARGS)

.PHONY: bench-labelled
bench-labelled: $(STAMP) ## Time small shots stored with labels into reports/labelled
	$(BIN)/python -m tools.bench labelled $(BENCH_ARGS)

.PHONY: closed-errors
closed-errors: $(STAMP) ## Measure the closed form's errors anew, into the table of its page (minutes)
	$(BIN)/python -m tools.closed_form_errors

.PHONY: evidence
evidence: $(STAMP) ## Measure a claim anew into reports: TOPIC=parity, source-weights, watching, …
	$(BIN)/python -m tools.evidence $(TOPIC) $(EVIDENCE_ARGS)

.PHONY: selftest
selftest: $(STAMP) ## Images of the C program rendered anew on this machine, in seconds
	$(BIN)/distbragg selftest

# Checks of seconds come first, those of a minute fill the gaps that waiting tests leave.
QUICK := lint layers spelling
LONG := types site
# What tests/meta checks too.
TESTED := specs tree reference

.PHONY: test
test: $(STAMP) native ## Every check and every test
	@$(MAKE) --no-print-directory -j 2 $(QUICK)
	@$(MAKE) --no-print-directory -j 3 $(LONG) pytest

.PHONY: check
check: $(STAMP) ## Every check but pytest
	@$(MAKE) --no-print-directory -j 2 $(QUICK) $(TESTED) $(LONG)

.PHONY: lint
lint: $(STAMP) ## ruff: rules and format
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

.PHONY: types
types: $(STAMP) ## mypy, strict
	$(BIN)/mypy distbragg tools

.PHONY: layers
layers: $(STAMP) ## import-linter: the layers of the package
	$(BIN)/lint-imports

.PHONY: spelling
spelling: $(STAMP) ## codespell
	$(BIN)/codespell

.PHONY: specs
specs: $(STAMP) ## Clauses and tests name one another
	$(BIN)/python tools/check_specs.py

.PHONY: tree
tree: $(STAMP) ## Text, docstrings, module lengths and links are in order
	$(BIN)/python tools/check_tree.py

.PHONY: reference
reference: $(STAMP) ## The generated reference pages are up to date
	$(BIN)/python -m tools.generate_reference --check

.PHONY: docs
docs: reference-pages site ## Write the generated pages anew and build the site into build/site

.PHONY: reference-pages
reference-pages: $(STAMP) ## Write the generated reference pages anew
	$(BIN)/python -m tools.generate_reference

# Needs no network; a warning, as of a link that leads nowhere, is an error.
.PHONY: site
site: $(STAMP) ## Build the site alone, with warnings as errors
	$(BIN)/python -m sphinx -q -W --keep-going -b html -c docs . build/site

.PHONY: notebooks
notebooks: $(STAMP) ## Run the notebooks of the documentation and keep them with their outputs in build/notebooks/run
	$(BIN)/python -m tools.notebooks --into build/notebooks/run

.PHONY: pytest
pytest: $(STAMP) native ## The tests alone; PYTEST_ARGS narrows them
	$(BIN)/python -m pytest -n $(PYTEST_PROCESSES) --dist loadscope --no-loadscope-reorder $(PYTEST_ARGS)

.PHONY: golden-triton
golden-triton: $(STAMP) ## All golden images by the fused GPU kernel through Triton's interpreter
	DISTBRAGG_ALL_GOLDEN=1 TRITON_INTERPRET=1 $(BIN)/python -m pytest -q tests/golden -k interpreter --timeout 3600

# What a machine with torch, Triton and their own needs lacks of ours.
GPU_WHEELS := annotated-types bokeh dask distributed donfig fabio gemmi google-crc32c locket numcodecs partd \
  pydantic pydantic-core tblib tornado typing-inspection xarray xyzservices zarr zict
GPU_PYTHON ?= 3.12
GPU_PLATFORMS := $(foreach n,2_28 2_27 2_17,--platform manylinux_$(n)_x86_64) --platform manylinux2014_x86_64

.PHONY: gpu-wheels
gpu-wheels: $(STAMP) ## Wheels for a GPU machine without a registry, into .whl; GPU_PYTHON is its Python
	$(PIP) download --quiet --no-deps --only-binary=:all: --python-version $(GPU_PYTHON) --implementation cp \
	  $(GPU_PLATFORMS) -c constraints.txt -d .whl $(GPU_WHEELS)

.PHONY: fuzz
fuzz: $(STAMP) ## Feed every reader 2,000 damaged files
	DISTBRAGG_FUZZ_EXAMPLES=2000 $(BIN)/python -m pytest tests/property/test_read_fuzz.py

.PHONY: accept
accept: $(STAMP) ## Let DIALS judge exported frames (minutes); installs Debian's dials
	$(BIN)/python -m tools.accept_dials --install --report reports $(ACCEPT_ARGS)

.PHONY: accept-ci
accept-ci: $(STAMP) ## One format of the same, where apt-get can install DIALS: what CI runs
	$(BIN)/python -m tools.accept_dials --install --cases smv

.PHONY: slurm
slurm: $(STAMP) ## Sweeps on a real SLURM of one node into reports/clusters; needs root and Debian's slurm
	$(BIN)/python -m tools.cluster_trials slurm

.PHONY: netns
netns: $(STAMP) ## A sweep over three hosts, far apart and parted, into reports/clusters; needs root
	$(BIN)/python -m tools.cluster_trials netns

.PHONY: chaos
chaos: $(STAMP) ## Break runs in every way of the fault table, into reports/reliability
	$(BIN)/python -m tests.chaos $(CHAOS_ARGS)

.PHONY: chaos-nightly
chaos-nightly: $(STAMP) ## The same with its long rows in full
	$(BIN)/python -m tests.chaos --nightly $(CHAOS_ARGS)
	DISTBRAGG_NIGHTLY=1 $(BIN)/python -m pytest -q tests/property/test_set_fuzz.py

.PHONY: format
format: $(STAMP) ## Let ruff repair what it can
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

.PHONY: hooks
hooks: $(STAMP) ## Install the pre-commit hooks
	$(BIN)/pre-commit install

.PHONY: clean
clean: ## Remove caches and demo output, not the environment
	rm -rf demo.zarr demo.png build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	  .import_linter_cache
	find distbragg tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
