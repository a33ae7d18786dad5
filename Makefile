PYTHON ?= python3
SOURCE ?=
# The recipes read the source from the environment, so that the shell does not split or expand it.
override export SOURCE := $(value SOURCE)
# One more than the cores: many tests wait for programs, sockets and clocks.
WORKERS ?= $(shell expr $$(nproc 2>/dev/null || echo 2) + 1)
PYTEST_ARGS ?=
MINUTES ?= 10
SEED ?= 1
TARGETS ?=
PIP = -m pip --quiet --disable-pip-version-check
PYTEST = -m pytest --dist worksteal -n
DOCTESTS = --doctest-modules edgeinfer train/edgeinfer_train export/edgeinfer_export
DEMO_RESULTS = --out build/demo/faces.csv --save-video build/demo/annotated.mp4 --snapshots build/demo/snapshots --snapshots-keep 20
# pip does not compile the test environments: most of their modules are never imported. Those that are get compiled once.
unexport PYTHONDONTWRITEBYTECODE
RUNTIME_SOURCES = $(shell find edgeinfer -type f -not -name '*.pyc')

.PHONY: run test test-wheel test-dev test-fast test-pi check lint type type-windows type-macos docs wheel coverage fuzz reference assets screenshots clean

run: .venv/.ready            ## process the demo clip, or SOURCE=clip.mp4; the results are in build/demo
	@mkdir -p build/demo
	.venv/bin/edgeinfer run $(DEMO_RESULTS) $${SOURCE:+-- "$$SOURCE"}

check:                       ## everything that CI runs; the runtime tests leave time for the other steps
	$(MAKE) --jobs 2 --output-sync test-wheel lint type type-windows type-macos docs
	$(MAKE) test-dev

test: test-wheel test-dev    ## the whole suite

test-wheel: wheel            ## the runtime tests, against the wheel
	cd tests && ../.venv-wheel/bin/python $(PYTEST) $(WORKERS) -c ../pyproject.toml --rootdir .. runtime $(PYTEST_ARGS)

test-dev: .venv-dev/.ready   ## all other tests, in .venv-dev
	.venv-dev/bin/python $(PYTEST) $(WORKERS) --ignore tests/runtime tests $(DOCTESTS) $(PYTEST_ARGS)

test-fast: .venv-dev/.ready  ## the fast runtime tests, in less than a minute
	.venv-dev/bin/python $(PYTEST) $(WORKERS) tests/runtime -m "not slow" $(PYTEST_ARGS)

lint: .venv-dev/.ready
	.venv-dev/bin/ruff check .
	.venv-dev/bin/ruff format --check .
	.venv-dev/bin/lint-imports --no-logo

type: .venv-dev/.ready       ## the types of the whole tree
	.venv-dev/bin/mypy

type-windows: .venv-dev/.ready ## the types of the packages on Windows
	.venv-dev/bin/mypy --platform win32 --cache-dir .mypy_cache/win32 edgeinfer train/edgeinfer_train export/edgeinfer_export

type-macos: .venv-dev/.ready   ## the types of the packages on macOS
	.venv-dev/bin/mypy --platform darwin --cache-dir .mypy_cache/darwin edgeinfer train/edgeinfer_train export/edgeinfer_export

docs: .venv-dev/.ready       ## build the documentation site in build/site
	NO_MKDOCS_2_WARNING=1 .venv-dev/bin/mkdocs build --strict --config-file docs/site/mkdocs.yml

wheel: .venv-wheel/.ready    ## build the wheel and install it with its runtime dependencies and extras only

coverage: .venv-dev/.ready   ## line coverage of the three packages over the whole suite
	.venv-dev/bin/python $(PYTEST) $(WORKERS) --cov edgeinfer --cov edgeinfer_train --cov edgeinfer_export tests $(DOCTESTS) $(PYTEST_ARGS)

fuzz: .venv-dev/.ready       ## mutated input for every parser: MINUTES=10 SEED=1 TARGETS="picture clip"
	PYTHONPATH=tests .venv-dev/bin/python -m fuzz --minutes $(MINUTES) --seed $(SEED) $(TARGETS)

test-pi: build/pi/.ready     ## the runtime tests and the demo with a Raspberry Pi 4's wheels, emulated: slow
	.venv/bin/python $(PIP) install --no-deps --upgrade --target build/pi/site .
	cd tests && EDGEINFER_TEST_PATIENCE=20 ../build/pi/python -m pytest -c ../pyproject.toml --rootdir .. runtime $(PYTEST_ARGS)
	build/pi/python -P -m edgeinfer run $${SOURCE:+-- "$$SOURCE"}

reference: .venv-dev/.ready  ## regenerate the option tables in docs/reference.md
	PYTHONPATH=tests .venv-dev/bin/python tests/tools/reference.py

assets: .venv-dev/.ready     ## regenerate the demo clip and the test clips
	.venv-dev/bin/python $(PIP) install scikit-image
	.venv-dev/bin/python tests/assets/make_assets.py

screenshots: .venv-dev/.ready ## refresh the pictures in docs/images
	PYTHONPATH=tests .venv-dev/bin/python tests/tools/screenshots.py

clean:
	rm -rf .venv .venv-dev .venv-wheel dist build

build/pi/.ready: pyproject.toml tests/pi/build.py .venv/.ready
	.venv/bin/python tests/pi/build.py build/pi
	touch $@

.venv/.ready: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python $(PIP) install -e .
	touch $@

.venv-dev/.ready: pyproject.toml
	$(PYTHON) -m venv .venv-dev
	.venv-dev/bin/python $(PIP) install --no-compile -e '.[dev]'
	touch $@

.venv-wheel/.ready: pyproject.toml $(RUNTIME_SOURCES)
	rm -rf dist
	$(PYTHON) -m venv .venv-wheel
	.venv-wheel/bin/python $(PIP) wheel --no-deps --wheel-dir dist .
	.venv-wheel/bin/python $(PIP) install --no-compile --force-reinstall --no-deps dist/*.whl
	.venv-wheel/bin/python $(PIP) install --no-compile "$$(ls dist/*.whl)[mqtt,osc,yunet,video,batch,ray,report]" pytest pytest-xdist
	touch $@
