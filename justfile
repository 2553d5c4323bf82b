# `just` lists the recipes; `just check` is what to run before every commit.

export PATH := justfile_directory() / ".venv/bin:" + env("PATH")
export PYTHONDONTWRITEBYTECODE := "1"

shell_scripts := "scripts/setup-venv scripts/demo scripts/test scripts/bench scripts/soak scripts/build-images scripts/setup-deploy-tools .ci/run deploy/nats/run"

_list:
    @just --list --unsorted

# Make or update .venv from requirements.lock.
setup:
    scripts/setup-venv

# Rewrite files in the one format, and generate what is generated.
format: generate
    ruff format .
    ruff check --fix --quiet --exit-zero .

# Format, lint, types, import contracts, then every test that needs no server.
check: lint types imports test

lint:
    ruff format --check --quiet .
    ruff check --quiet .
    shellcheck {{ shell_scripts }}

types:
    mypy

imports:
    lint-imports --no-logo

# Unit tests, contracts on fakes, architecture.
test *arguments:
    pytest -q -n auto --dist loadgroup --no-loadscope-reorder -m "not integration and not e2e and not chaos" {{ arguments }}

# Tests against real NATS and OpenBao, then whole stacks of processes.
test-all *arguments:
    pytest -q -n auto --dist loadgroup --no-loadscope-reorder -m "integration or e2e or chaos" {{ arguments }}

# Branch coverage of the tests that need no server.
coverage:
    coverage erase
    coverage run -m pytest -q -m "not integration and not e2e and not chaos"
    coverage combine --quiet
    coverage report

# Write the reference pages that are made from the source.
generate:
    python -m scripts.gen_settings
    python -m scripts.gen_events
    python -m scripts.gen_states

# The whole system on this machine under load, for a few minutes.
demo *arguments:
    scripts/demo {{ arguments }}

# What cryptography and messages cost, beside the bare primitives.
bench *arguments:
    scripts/bench {{ arguments }}

# A hundred rotations under load, then every fault; one report.
soak *arguments:
    scripts/soak {{ arguments }}

# Throw changed bytes at every decoder; needs the extra `fuzz`.
fuzz *arguments:
    python -m scripts.fuzz_wire {{ arguments }}
