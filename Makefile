# Everything runs in .venv; a stamp file makes a second call cheap.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO ?= demo-output

.PHONY: setup lint test test-slow demo clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip -c constraints.txt
	$(BIN)/python -m pip install --quiet torch -c constraints.txt
	$(BIN)/python -m pip install --quiet --editable '.[dev]' -c constraints.txt
	touch $(STAMP)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict catalogs inference tasks flows deployments

test: setup
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

test-slow: setup
	$(BIN)/python -m pytest -m slow

demo: setup
	$(BIN)/packshot init $(DEMO) --exist-ok
	$(BIN)/packshot render $(DEMO)/campaign.yaml
	$(BIN)/packshot render $(DEMO)/campaign-tiny.yaml

clean:
	rm -rf $(VENV) $(DEMO) build *.egg-info
