"""`python -m imgkit` is the command `imgkit`."""

from imgkit.cli.main import main

main()
