# make demo            a synthetic head CT through the node, on this machine
# make demo CT=folder  the same with a head CT of your own
# make test            format, lint, types, import rules, all tests
#
# PYTHON=...       the Python 3.11 to use
# TORCH_INDEX=...  package index of torch's CPU builds, where pip would take CUDA's

VENV := .venv
BIN := $(VENV)/bin
PINS := pyproject.toml deploy/constraints.txt deploy/make-environment
export PYTHON TORCH_INDEX

.PHONY: demo test install clean
.DEFAULT_GOAL := help

.PHONY: help
help:
	@sed -n 's/^# \{0,1\}//p' Makefile

install: $(VENV)/.installed

demo: $(VENV)/.installed
	@$(BIN)/aspects-node demo $(if $(CT),--ct "$(CT)")

test: $(VENV)/.installed-dev
	@deploy/install-test-peers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest

clean:
	rm -rf $(VENV) demo-out

$(VENV)/.installed: $(PINS)
	@deploy/make-environment $(VENV)
	@touch $@

$(VENV)/.installed-dev: $(PINS)
	@deploy/make-environment $(VENV) dev
	@touch $@ $(VENV)/.installed
