"""The `edgeinfer-export` command: parses options, calls one function, prints. Export logic belongs elsewhere."""
