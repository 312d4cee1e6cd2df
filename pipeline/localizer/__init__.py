"""ASPECTSLoc-Net: which slices are the two ASPECTS levels."""
