"""The one error that a person is meant to read."""


class UserError(ValueError):
    """Bad input: one line that says what is wrong, where, and what to do.

    Jobs print it without a trace and exit with code 2; nothing that was finished is touched.
    """
