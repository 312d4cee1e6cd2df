"""Computing on several machines: one node receives, others work."""
