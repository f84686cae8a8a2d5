"""A process killed inside a backup or a restore: the old state or the new one, never half."""

import multiprocessing
import os
import signal

import dagster as dg
import pytest
from companies import Company
from lake import NOON

from crm_assets.safekeeping import restore as module
from crm_resources.ops.inbox import Outcome


def in_child(target, *args):
    """Run in a process of its own, forked from one that imported what all need; its exit code."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["crm_assets.definitions", "crm_assets.safekeeping.restore", "pytest"]
    )
    child = context.Process(target=target, args=args)
    child.start()
    child.join()
    return child.exitcode


def _killed_restore(home, archive, step):
    """Restore in a process that kills itself at a step."""

    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    target = getattr(module, step, None)
    if step == "rename":
        from crm_resources import serving

        sync = serving._sync
        module.put = lambda draft, target: (sync(draft), die())
    elif step == "after":
        module._swap = lambda *arguments, swap=module._swap: (swap(*arguments), die())
    else:
        assert target is not None
        setattr(module, step, die)
    with dg.DagsterInstance.ephemeral() as instance:
        Company(home, instance).restore(archive)


@pytest.mark.slow
@pytest.mark.parametrize("step", ["unpack", "_clean", "_new_files", "_swap", "rename", "after"])
def test_a_kill_leaves_the_old_state_or_the_new_one(company, step):
    path = company.back_up()
    company.sell("HP3")
    company.decide("b")
    (event,) = company.ops.events()
    company.ops.settle([Outcome(id=event.id, state="processed")], NOON)
    assert in_child(_killed_restore, company.home, path, step) == -signal.SIGKILL
    new = step == "after"
    assert company.sold == (["HP1", "HP2"] if new else ["HP1", "HP2", "HP3"])
    assert company.decided == ["a", "b"]
    if new:
        assert [event.state for event in company.ops.events()] == ["pending"]
    company.restore(path)
    assert company.sold == ["HP1", "HP2"]
    assert not (company.folder / ".restore").exists()


def _killed_backup(home, step):
    from crm_assets.safekeeping import backup

    setattr(backup, step, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
    with dg.DagsterInstance.ephemeral() as instance:
        Company(home, instance).back_up()


@pytest.mark.slow
@pytest.mark.parametrize("step", ["pack", "_verify", "put", "_register"])
def test_a_killed_backup_is_whole_or_not_there(company, step):
    assert in_child(_killed_backup, company.home, step) == -signal.SIGKILL
    made = list((company.home / "backups").rglob("crm_*.tar.zst"))
    assert len(made) == int(step == "_register")
    for path in made:
        company.restore(path, dry_run=True)
    assert company.back_up().exists()
    assert not (company.folder / ".backup").exists()
