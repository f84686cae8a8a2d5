#!/usr/bin/env bash
# Branch coverage of the pure rules, which must be 100 %: scripts/coverage.sh
# The modules below decide; none of them talks to a network, a store or a clock of its own.
set -euo pipefail
cd "$(dirname "$0")/.."

modules=(
    crm_assets.contact
    crm_assets.automation.alerts
    crm_assets.person_rules
    crm_assets.plan
    crm_assets.plots
    crm_assets.settings
    crm_assets.slices
    crm_assets.tenants
    crm_assets.words
    crm_assets.bronze.event_bodies
    crm_assets.bronze.hotmart_csv_file
    crm_assets.bronze.hotmart_csv_words
    crm_assets.bronze.hotmart_event_rows
    crm_assets.bronze.hotmart_rows
    crm_assets.bronze.manychat_file
    crm_assets.bronze.text_table
    crm_assets.checks.bronze
    crm_assets.checks.contract
    crm_assets.checks.gold
    crm_assets.checks.silver
    crm_assets.gold.periods
    crm_assets.silver.access_rules
    crm_assets.silver.conflicts
    crm_assets.silver.contests
    crm_assets.silver.event_rules
    crm_assets.silver.findings
    crm_assets.silver.graph
    crm_assets.silver.identity
    crm_assets.silver.ids
    crm_assets.silver.keys
    crm_assets.silver.pins
    crm_assets.silver.products
    crm_assets.silver.run_guard
    crm_assets.silver.sale_rules
    crm_assets.silver.scope
    crm_assets.silver.stewardship
    crm_assets.silver.subscription_charges
    crm_assets.silver.subscription_facts
    crm_assets.silver.subscription_rules
    crm_resources.hotmart.limiter
    crm_resources.hotmart.statuses
    crm_resources.hotmart.windows
    crm_web.posts
)
tests=(
    tests/bronze/test_hotmart_*.py
    tests/bronze/test_event*.py
    tests/checks/test_contract*.py
    tests/checks/test_plots.py
    tests/contact
    tests/gold/test_metric*.py
    tests/hotmart/test_hotmart_answers.py
    tests/hotmart/test_hotmart_limiter.py
    tests/hotmart/test_windows.py
    tests/manychat
    tests/silver/test_access*.py
    tests/silver/test_conflict*.py
    tests/silver/test_contests.py
    tests/silver/test_event*.py
    tests/silver/test_identity*.py
    tests/silver/test_pins.py
    tests/silver/test_products.py
    tests/silver/test_run_guard.py
    tests/silver/test_sale_*.py
    tests/silver/test_stewardship.py
    tests/silver/test_subscription*.py
    tests/silver/test_survivorship*.py
    tests/test_alert_*.py
    tests/test_*plan.py
    tests/test_settings.py
    tests/test_tenants.py
    tests/test_words.py
    tests/web/test_posts.py
)

COVERAGE_FILE="$(mktemp -d)/coverage"
export COVERAGE_FILE
trap 'rm -rf "$(dirname "$COVERAGE_FILE")"' EXIT
uv run pytest "${modules[@]/#/--cov=}" --cov-branch --cov-fail-under=100 \
    --cov-report=term-missing "${tests[@]}"
