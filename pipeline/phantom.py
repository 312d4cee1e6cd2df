"""A synthetic head CT with its truth, for demonstration and tests.

The head is made of smooth functions of a point, so a slice of any pose,
thickness and spacing is sampled exactly, and the twenty ASPECTS regions are
known at every point. It is deliberately asymmetrical, so that a mixed-up side
shows. It is not a patient, and no measure of how well the software reads one.
"""

from __future__ import annotations

from pipeline.phantom_dicom import phantom_datasets
from pipeline.phantom_geometry import Acquisition, Grid, Orientation, Pose, SliceBlock
from pipeline.phantom_scan import Lesion, Phantom, PhantomSpec, make_phantom
from pipeline.phantom_tissue import Bleed

__all__ = [
    "Acquisition",
    "Bleed",
    "Grid",
    "Lesion",
    "Orientation",
    "Phantom",
    "PhantomSpec",
    "Pose",
    "SliceBlock",
    "make_phantom",
    "phantom_datasets",
]
