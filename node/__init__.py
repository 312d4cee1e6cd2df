"""DICOM in, DICOM out: the node that keeps, schedules and delivers the work."""
