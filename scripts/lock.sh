#!/usr/bin/env bash
# Renew the exact versions in uv.toml: the newest that pyproject.toml permits.
set -euo pipefail
cd "$(dirname "$0")/.."
head=$(sed '/^constraint-dependencies/,$d' uv.toml)
printf '%s\n' "$head" > uv.toml
rm -f uv.lock
uv lock --quiet --upgrade
{
    printf 'constraint-dependencies = [\n'
    uv export --quiet --no-hashes --no-emit-project --all-groups --no-annotate --no-header |
        sed "s/\"/'/g; s/.*/    \"&\",/"
    printf ']\n'
} >> uv.toml
