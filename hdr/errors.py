"""The one error type for what a user can put right."""

from __future__ import annotations


class UserError(Exception):
    """A mistake in a file, a key or a value that the user can correct.

    The message names the file or key, what was found, what is accepted and what to do. The command line prints that
    message alone and exits with status 2; any other exception is a defect and shows its traceback.
    """
