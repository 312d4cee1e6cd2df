"""Evaluate the method, and readers, on labelled cases of a user."""
