"""The `edgeinfer-export` command: parses options, calls one function, prints."""
