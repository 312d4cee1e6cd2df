"""What the workers compute while `node.scale` measures; light to import."""

from __future__ import annotations

from dataclasses import replace

from node.job import Ending, Job, Outcome


def compute_nothing(job: Job) -> Outcome:
    """Stand in for the computation where the engine alone is measured."""
    del job
    return Outcome(ending=Ending.DONE, quality="pass")


def compute_all(job: Job) -> Outcome:
    """Compute, and have nothing sent: there is nobody to send it to."""
    from node.compute import compute

    return replace(compute(job), objects=())
