"""The whole graph of the sample tenant, as a text that a review shows changing."""

from __future__ import annotations

from pathlib import Path

import pytest
from world import World

SNAPSHOT = Path(__file__).with_name("graph.txt")


def graph_of(world: World) -> str:
    """Assets with dependencies, partitions and checks; then jobs, schedules and sensors."""
    definitions = world.definitions
    repository = definitions.get_repository_def()
    lines = []
    for key in sorted(repository.asset_graph.get_all_asset_keys()):
        node = repository.asset_graph.get(key)
        checks = sorted(check.name for check in node.check_keys)
        partitions = type(node.partitions_def).__name__ if node.partitions_def else "unpartitioned"
        lines += [
            f"{key.to_user_string()} [{node.group_name}] {partitions} {checks}",
            *(f"    <- {parent.to_user_string()}" for parent in sorted(node.parent_keys)),
        ]
    jobs = sorted(job.name for job in repository.get_all_jobs() if not job.name.startswith("__"))
    lines += [f"job {name}" for name in jobs]
    lines += [
        f"schedule {schedule.name} {schedule.cron_schedule} {schedule.execution_timezone}"
        for schedule in repository.schedule_defs
    ]
    lines += sorted(f"sensor {sensor.name}" for sensor in repository.sensor_defs)
    return "\n".join(lines) + "\n"


def test_the_graph_is_the_one_in_the_snapshot(world: World) -> None:
    graph = graph_of(world)
    if not SNAPSHOT.exists():
        SNAPSHOT.write_text(graph)
        pytest.fail("tests/graph.txt was missing and has been written: review and commit it")
    assert graph == SNAPSHOT.read_text(), (
        "the graph changed: remove tests/graph.txt, review, commit"
    )
