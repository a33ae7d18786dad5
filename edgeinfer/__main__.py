"""`python -m edgeinfer` is the command `edgeinfer`."""

from edgeinfer.cli.app import main

main()
