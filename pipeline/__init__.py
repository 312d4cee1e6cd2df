"""The method: datasets in, datasets out, nothing else touched."""
