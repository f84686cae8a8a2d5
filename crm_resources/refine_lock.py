"""One refine run at a time per tenant, across processes (design 10)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import dagster as dg

from crm_resources.locks import hold


class RefineLock(dg.ConfigurableResource["RefineLock"]):
    """Held for the whole run: the in-process executor initialises a resource once per run."""

    path: str
    wait_seconds: float = 600

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Self]:
        """Take the lock when the run begins and give it back when it ends."""
        purpose = f"refine {context.run.run_id[:8]}" if context.run else "refine"
        with hold(Path(self.path), purpose, self.wait_seconds):
            yield self
