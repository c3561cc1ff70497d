"""The command `imgkit`, also as `python -m imgkit`."""

import signal


def run() -> None:
    """Run the command line; ends the process. Ctrl-C while it is loaded ends it in silence, as other programs."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until `main` sets its own; nothing is open so far
    from imgkit.cli.main import main  # noqa: PLC0415

    main()


if __name__ == "__main__":
    run()
