# The two commands of a newcomer are `make demo` and `make test`; both set up what is missing and say so.
# Everything that is installed goes into .venv, except the Debian packages named in system-packages.txt.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
NATIVE := $(shell find _native -name '*.[ch]' -o -path '_native/build.py') setup.py pyproject.toml
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test trials sanitize sanitize-threads lint bench docs setup system clean
.DELETE_ON_ERROR:

demo: setup
	$(BIN)/python docs/tutorial/first_container.py
	@echo "a shop on a cluster of its own: docs/tutorial/cluster.md as written"
	$(BIN)/python -m tests.docs docs/tutorial/cluster.md

test: setup
	$(REQUIRE) $(BIN)/python -m pytest tests $(ARGS)

trials: setup
	$(REQUIRE) $(BIN)/python -m pytest tests -m trial --timeout 3600 $(ARGS)

sanitize: setup
	$(BIN)/python -m tests.sanitize address $(ARGS)

sanitize-threads: setup
	$(BIN)/python -m tests.sanitize thread $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python -m benchmarks $(ARGS)

docs: setup
	$(BIN)/pip install --quiet --config-settings editable_mode=compat --editable '.[docs]'
	$(BIN)/sphinx-build -W -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

setup: system $(VENV)/.built

# As root every tool is installed by `system`, so that no test has a reason to skip.
REQUIRE := $(if $(filter 0,$(shell id -u)),CK_REQUIRE_ALL=1,)

system:
	@./.ci/system-packages

$(VENV)/.built: $(NATIVE)
	@test -d $(VENV) || { echo "making $(VENV) with $(PYTHON)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing the package and its tools into $(VENV)"
	$(BIN)/pip install --quiet --config-settings editable_mode=compat --editable '.[test,lint,cli,server,sign,cluster]'
	@touch $@

clean:
	rm -rf $(VENV) build docs/_build *.egg-info container_kit/native/ckit-init container_kit/native/*.so
