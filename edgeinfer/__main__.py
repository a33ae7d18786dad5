"""Entry point of the `edgeinfer` command and of `python -m edgeinfer`."""

from typing import NoReturn

from edgeinfer.system.interrupts import install_signal_handlers
from edgeinfer.system.streams import open_standard_streams


def main() -> NoReturn:
    """Handle signals first, because loading the command takes a moment; then run it."""
    open_standard_streams()
    install_signal_handlers()
    from edgeinfer.cli.app import main as run_command  # noqa: PLC0415

    run_command()


if __name__ == "__main__":
    main()
