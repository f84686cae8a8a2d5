"""Working while nobody else does: the locks of a round, of a refine run and of the safekeeping."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from crm_assets.rounds import run_lock
from crm_assets.steps import Site
from crm_resources.locks import hold

LOCK = "backup.lock"
BACKUP = "copia_de_seguranca"
"""Kind of a backup in the register of exports."""


@contextmanager
def safekeeping(site: Site, purpose: str, wait: float = 0) -> Iterator[None]:
    """No backup, restore or erasure beside us; rounds may go on.

    Raises:
        Busy: there is one, and it did not end within `wait` seconds.
    """
    with hold(run_lock(site).with_name(LOCK), purpose, wait):
        yield


@contextmanager
def no_rounds(site: Site, purpose: str, wait: float = 0) -> Iterator[None]:
    """No round and no refine run beside us.

    Raises:
        Busy: one runs, and did not end within `wait` seconds.
    """
    lock = run_lock(site)
    with hold(lock, purpose, wait), hold(lock.with_name("refine.lock"), purpose, wait):
        yield
