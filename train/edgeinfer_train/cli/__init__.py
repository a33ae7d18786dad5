"""The `edgeinfer-train` command line: one module per command, assembled in `app`; no training logic."""
