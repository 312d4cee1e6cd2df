"""One file per command of aspects-node."""
