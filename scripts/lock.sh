#!/usr/bin/env bash
# Renew the exact versions in uv.toml: the newest that pyproject.toml permits.
set -euo pipefail
cd "$(dirname "$0")/.."
sed -i '/^constraint-dependencies/,$d' uv.toml
rm -f uv.lock
uv lock --quiet --upgrade
pins=$(uv export --quiet --no-hashes --no-emit-project --all-groups --no-annotate --no-header |
    sed "s/\"/'/g; s/.*/    \"&\",/")
printf 'constraint-dependencies = [\n%s\n]\n' "$pins" >> uv.toml
