"""What a person does in the web UI: materialise, backfill, drop a file, read lineage and plots."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(300)]

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

BACKFILL = """
    mutation($slices: [String!]!) {
        launchPartitionBackfill(backfillParams: {
            assetSelection: [{path: ["bronze", "hotmart_transactions"]}]
            partitionNames: $slices
        }) { __typename ... on LaunchBackfillSuccess { backfillId } }
    }
"""

# Whether anything of an image is drawn: the browser decoded it and found no fault in it.
IS_DRAWN = """
    image => {
        const canvas = document.createElement('canvas')
        canvas.width = image.naturalWidth
        canvas.height = image.naturalHeight
        const context = canvas.getContext('2d')
        context.drawImage(image, 0, 0)
        const {data} = context.getImageData(0, 0, canvas.width, canvas.height)
        return data.some((value, at) => at % 4 === 3 && value === 255)
    }
"""


@pytest.fixture(scope="module")
def page(ui: Any) -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("needs Debian's chromium (apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(30_000)
        yield page
        browser.close()


@pytest.fixture(scope="module")
def dropped(ui: Any) -> Path:
    """A file of contacts in the watched folder, whose sensors need a minute."""
    inbox = ui.home / "input" / "manychat"
    inbox.mkdir(parents=True, exist_ok=True)
    file = inbox / "novos.csv"
    file.write_text(
        "nome;email;whatsapp\nXavier Pontes;xavier.pontes@example.com;(31) 99123-4577\n"
    )
    return file


@pytest.mark.usefixtures("dropped")
def test_many_slices_are_backfilled_in_one_run(ui: Any) -> None:
    slices = [f"2025-{month:02}-01" for month in range(6, 13)]
    assert ui.ask(BACKFILL, slices=slices)["launchPartitionBackfill"]["backfillId"]

    runs = ui.finished_runs("__ASSET_JOB", seconds=150)

    tags = {tag["key"]: tag["value"] for tag in runs[0]["tags"]}
    assert [run["status"] for run in runs] == ["SUCCESS"]
    assert tags["dagster/asset_partition_range_start"] == "2025-06-01"
    assert tags["dagster/asset_partition_range_end"] == "2025-12-01"


def test_a_dropped_file_is_imported_and_refined_by_the_sensors(ui: Any, dropped: Path) -> None:
    manychat = ui.finished_runs("manychat", seconds=150)
    refine = ui.finished_runs("refine", seconds=150)

    assert manychat[0]["status"] == "SUCCESS"
    assert refine[0]["status"] == "SUCCESS"
    assert list((ui.home / "db" / "prd" / "default" / "archive" / "manychat").iterdir())
    assert not dropped.exists()


def test_the_lineage_and_an_asset_can_be_read_and_materialised(ui: Any, page: Any) -> None:
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))

    page.goto(f"{ui.url}/asset-groups")
    for group in ("bronze", "silver", "gold"):
        page.get_by_text(group, exact=True).first.wait_for(state="attached")
    page.goto(f"{ui.url}/assets/gold/audience_ilpi")
    page.get_by_text("quem comprou seus produtos").first.wait_for()
    page.get_by_text("pessoas com LTV").first.wait_for()
    before = len(ui.finished_runs("__ASSET_JOB", seconds=5))
    page.get_by_role("button", name="Materialize").first.click()
    runs = ui.finished_runs("__ASSET_JOB", seconds=90, count=before + 1)

    assert runs[0]["status"] == "SUCCESS"
    assert problems == []


@pytest.mark.parametrize(
    ("asset", "title", "pictures"),
    [
        ("silver/sales", "Receita por dia", 2),
        ("silver/customers", "Clientes ao longo de um ano", 1),
        ("silver/customer_merges", "Uniões por semana", 1),
        ("gold/remarketing_batches", "Pessoas por lote", 1),
    ],
)
def test_a_plot_is_read_on_the_page_of_its_asset(
    ui: Any, page: Any, asset: str, title: str, pictures: int
) -> None:
    ui.finished_runs("refine", seconds=150)

    page.goto(f"{ui.url}/assets/{asset}")
    plots = page.get_by_alt_text(title)
    plots.first.wait_for()

    assert plots.count() == pictures
    for plot in plots.all():
        assert plot.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [300, 132]
        assert plot.evaluate(IS_DRAWN)


def test_the_columns_of_a_table_are_explained(ui: Any, page: Any) -> None:
    page.goto(f"{ui.url}/assets/silver/sales")

    page.get_by_text("Columns", exact=True).first.wait_for()
    page.get_by_text("paid_at_assumed", exact=True).wait_for()
    page.get_by_text("TIMESTAMPTZ").first.wait_for()
