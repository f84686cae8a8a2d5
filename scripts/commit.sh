#!/usr/bin/env bash
# Lint, format and test, and commit only when all three pass: scripts/commit.sh "message"
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$#" -ne 1 ] || [ -z "$1" ]; then
    echo 'usage: scripts/commit.sh "message"' >&2
    exit 2
fi
uv run ruff check --fix .
uv run ruff format .
uv run pytest
git add --all
git commit --message "$1"
