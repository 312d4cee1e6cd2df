"""Atlas sets: find, install, verify, construct."""
