"""A source, a detector and an output for edgeinfer; `pyproject.toml` registers them as entry points."""
