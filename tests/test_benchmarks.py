"""The benchmarks run and measure the work they name; how long it takes is no test's business."""

import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from benchmarks import report
from benchmarks.__main__ import BENCHMARKS, app
from benchmarks.extraction import limit_used
from benchmarks.installation import month_before
from benchmarks.processes import CHECKOUT
from benchmarks.report import Reading

PAGE = CHECKOUT / "docs" / "benchmarks.md"
TOLD_ELSEWHERE = {"backfill", "contact", "daily", "extraction", "identity", "pipeline", "step"}
"""Contact and identity below; the others run whole rounds and refines, as half the suite does."""


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_command_prints_the_table():
    done = command("contact", "--scale", "0.001", "--repeat", "1")
    assert done.returncode == 0, done.stderr
    processor, versions, _, header, *lines = done.stdout.splitlines()
    assert "cores" in processor
    assert "duckdb 1.5.5" in versions
    assert [column for column in report.COLUMNS if column in header] == list(report.COLUMNS)
    assert [line.split()[0] for line in lines] == ["e-mails", "phones"]
    assert all(line.rstrip().endswith("MB") for line in lines)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", sorted(set(BENCHMARKS) - TOLD_ELSEWHERE))
def test_every_benchmark_runs(name):
    done = command(name, "--scale", "0.002", "--repeat", "1")
    assert "Traceback" not in done.stderr, done.stderr
    assert "MB" in done.stdout


@pytest.mark.slow
def test_the_work_by_hand_makes_the_tables_of_a_run(world, finished_home, tmp_path):
    from benchmarks.by_hand import run_by_hand

    tables = {}
    for name in ("run", "by_hand"):
        shutil.copytree(finished_home, world.home, dirs_exist_ok=True)
        if name == "run":
            world.green("refine")
        else:
            job = world.definitions.resolve_job_def("refine")
            run_by_hand(world.site, job, [world.site.today().isoformat()])
        names = world.rows(
            "SELECT table_schema || '.' || table_name AS name FROM information_schema.tables "
            "WHERE table_schema IN ('silver', 'gold') ORDER BY ALL"
        )
        tables[name] = {
            row["name"]: world.rows(f"FROM {row['name']} ORDER BY ALL") for row in names
        }
        shutil.rmtree(world.home)
    assert tables["run"]["silver.customers"]
    assert tables["by_hand"] == tables["run"]


@pytest.mark.slow
def test_what_stands_beside_the_identity_engine_works_on_the_same_keys(tmp_path):
    """Splink finds the plain rule's people; row by row, some stay two."""
    from benchmarks import identity
    from benchmarks.lone_warehouse import warehouse_in
    from crm_assets.person_rules import Identity
    from crm_assets.silver.identity import find_components

    plain = Identity(
        function_mailboxes=False, degree_cap=False, profile_limits=False, conflicts=False
    )
    identity.fill(str(tmp_path), 5_000)
    with warehouse_in(str(tmp_path)).write("test") as tx:
        find_components(tx, plain)
        people = tx.scalar("SELECT count(DISTINCT component) FROM components")
    assert identity.splink(str(tmp_path))["customers"] == people
    row_by_row = identity.upsert(str(tmp_path))["customers"]
    assert people < row_by_row < people * 1.1


@pytest.mark.parametrize(
    ("arrivals", "share"),
    [
        ([0, 1, 2], None),
        ([0, 1, 2, 3], 60 / 3),
        ([0, 0, 0, 60], 1),
        ([0, 0, 0, 80, 80], 0.75),
        ([0, 0, 0, 60, 60, 60, 140], 120 / 140),
        ([0, 10, 20, 60, 70, 80, 120], 1),
    ],
)
def test_limit_used_counts_whole_periods(arrivals, share):
    assert limit_used(arrivals, calls=3) == share


@pytest.mark.parametrize(
    ("months", "day"),
    [(0, "2026-03-01"), (2, "2026-01-01"), (3, "2025-12-01"), (182, "2011-01-01")],
)
def test_month_before(months, day):
    assert month_before(months) == day


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_table_takes_its_place_in_the_page(tmp_path, monkeypatch, name):
    def elsewhere(text):
        before, _, rest = text.partition(f"<!-- {name}: begin -->")
        return before, rest.partition(f"<!-- {name}: end -->")[2]

    page, before = tmp_path / "benchmarks.md", PAGE.read_text(encoding="utf-8")
    shutil.copy(PAGE, page)
    monkeypatch.setattr(report, "PAGE", page)
    reading = Reading("invented", "1.00 s", "0.50 s", "2.00 ×", "≤ 1.5 ×", met=False, peak=2**21)
    for _ in range(2):
        report.write(name, [reading], "an invented machine")
    written = page.read_text(encoding="utf-8")
    assert written.count("| invented | 1.00 s | 0.50 s | 2.00 × | ≤ 1.5 × ✗ | 2 MB |") == 1
    assert elsewhere(written) == elsewhere(before)
    assert all(elsewhere(before))


@pytest.mark.parametrize(
    "arguments", [["nothing"], ["--scale", "0.5", "--write"], ["--write", "--cpu"]]
)
def test_wrong_use_is_refused(arguments):
    assert CliRunner().invoke(app, arguments).exit_code == 2
