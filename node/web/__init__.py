"""The pages and the REST API of a node."""
