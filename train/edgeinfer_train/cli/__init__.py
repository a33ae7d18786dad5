"""The `edgeinfer-train` command: parses options, calls one function, prints."""
