"""Options of the commands, each defined once as a dataclass field. Parsing of the command line is in `cli`."""
