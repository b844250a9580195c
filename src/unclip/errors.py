"""The errors a user can cause: each says what was given, what was expected, and the remedy, in one line."""


class UnclipError(Exception):
    """Something that was asked for cannot be done as given."""


class RequestError(UnclipError):
    """A sentence, number, size or output path that cannot be used."""


class DataError(UnclipError):
    """A shard, picture or caption that cannot be read or does not fit the others."""


class CheckpointError(UnclipError):
    """A model folder or run folder that is missing, torn, or does not fit the network it is meant for."""
