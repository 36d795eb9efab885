"""The error a user can act on."""


class InputError(Exception):
    """A wrong flag, file or setting. The message is one line that names it and says what to do."""
