"""The one exception a user can cause: its message says what was wrong and what to do."""


class BunrakuError(ValueError):
    """Input that cannot be used. The command line prints the message and exits with code 2."""
