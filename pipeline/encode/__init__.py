"""DICOM objects of a result: segmentation, structured report, pictures."""
