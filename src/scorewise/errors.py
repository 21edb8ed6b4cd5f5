"""The errors that a user can act on; each message is one sentence."""


class UserError(Exception):
    """Something the user gave or asked for cannot work; the message says what, why and what to do instead."""

    exit_code = 1


class Held(UserError):
    """Another process writes the run folder; the message says which."""


class Stopped(UserError):
    """Training was asked to stop and has saved; the message says how to continue.

    Args:
        message: one sentence.
        signal_number: the signal that asked for it; the process ends with 128 + that number.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number
