"""The `edgeinfer` command: parses options, calls one function, prints. Logic belongs in the other packages."""
