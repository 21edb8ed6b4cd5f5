"""The settings of a machine in the file .env of the working directory."""

from pathlib import Path

from dotenv import load_dotenv

from scorewise.errors import UserError, machine_told


def load_environment() -> None:
    """Put the variables of .env into the environment, as far as it does not have them.

    Raises:
        UserError: the file cannot be read, or is no text.
    """
    try:
        with machine_told():
            load_dotenv(Path.cwd() / ".env")
    except UnicodeDecodeError as error:
        path = Path.cwd() / ".env"
        raise UserError(f"{path} is no text in UTF-8 ({error.reason}): save it as UTF-8, or remove it.") from error
