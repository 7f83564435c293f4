"""The error family: one child for each party who must act.

Every message is one sentence for the user: what was got, what is allowed, what to do.
Raise with ``raise ... from exc`` so that the cause stays in the log.
"""


class UnifiedError(Exception):
    """Base of all errors this package raises on purpose; ``str(error)`` may be shown to the user."""


class GrammarError(UnifiedError):
    """The model wrote something that is not in the unified representation."""


class RoutingError(UnifiedError):
    """A task call cannot be carried out: unknown task, missing picture, region or artefact."""


class ExpertError(UnifiedError):
    """An expert model failed while it worked on a valid request."""


class MediaError(UnifiedError):
    """The user's file cannot be used: corrupt, too large, wrong type, empty."""


class ModelLoadError(UnifiedError):
    """The operator must act: weights are missing or do not match their checksum."""
