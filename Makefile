PYTHON ?= python3
SOURCE ?=
PYTEST_ARGS ?=

.PHONY: run test test-pi check lint type wheel assets clean

run: .venv/.ready           ## read the demo clip, or SOURCE=clip.mp4
	.venv/bin/edgeinfer run $(SOURCE)

test: .venv-dev/.ready      ## the whole test suite
	.venv-dev/bin/python -m pytest $(PYTEST_ARGS)

check: lint type test wheel ## what CI runs

lint: .venv-dev/.ready
	.venv-dev/bin/ruff check .
	.venv-dev/bin/ruff format --check .

type: .venv-dev/.ready
	.venv-dev/bin/mypy

wheel: .venv-dev/.ready     ## build the wheel and test it with the runtime's dependencies alone
	rm -rf dist .venv-wheel
	.venv-dev/bin/python -m build --wheel --outdir dist .
	$(PYTHON) -m venv .venv-wheel
	.venv-wheel/bin/python -m pip install --quiet --disable-pip-version-check dist/*.whl pytest
	cd tests && ../.venv-wheel/bin/python -m pytest -c ../pyproject.toml --rootdir .. runtime $(PYTEST_ARGS)

test-pi: build/pi/.ready    ## the runtime's tests and the demo with a Raspberry Pi 4's wheels, emulated: slow
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target build/pi/site .
	cd tests && EDGEINFER_TEST_PATIENCE=20 ../build/pi/python -m pytest -c ../pyproject.toml --rootdir .. runtime $(PYTEST_ARGS)
	build/pi/python -P -m edgeinfer run $(SOURCE)

assets: .venv-dev/.ready    ## make the demo clip and the test clips again
	.venv-dev/bin/python -m pip install --quiet --disable-pip-version-check scikit-image
	.venv-dev/bin/python tests/assets/make_assets.py

clean:
	rm -rf .venv .venv-dev .venv-wheel dist build

build/pi/.ready: pyproject.toml tests/pi/build.py .venv/.ready
	.venv/bin/python tests/pi/build.py build/pi
	touch $@

.venv/.ready: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

.venv-dev/.ready: pyproject.toml
	$(PYTHON) -m venv .venv-dev
	.venv-dev/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@
