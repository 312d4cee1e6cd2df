"""The node at work, shown on one machine."""
