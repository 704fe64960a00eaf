"""The exceptions fusepot raises. Each message names the argument, what came, what was expected and the remedy."""


class FusepotError(Exception):
    """Base class: catching it catches everything fusepot raises on purpose."""


class InputError(FusepotError, ValueError):
    """An argument is unusable.

    Args:
        argument: name of the argument, configuration key or file at fault.
        got: what came.
        expected: what would have been accepted.
        remedy: what to do about it, as an instruction.
    """

    def __init__(self, argument: str, *, got: object, expected: str, remedy: str = "") -> None:
        self.argument = argument
        tail = f" {remedy}" if remedy else ""
        super().__init__(f"{argument}: got {got}, expected {expected}.{tail}")


class ConfigError(InputError):
    """A configuration file has an unknown key or an unusable value."""


class DataError(InputError):
    """Labelled data are damaged: NaN, absurd or inconsistent labels."""


class PotentialFileError(FusepotError):
    """A potential file is damaged, foreign, from the future, or fails its own self-test."""


class TrainingError(FusepotError):
    """A training run cannot go on (non-finite loss, unusable checkpoint)."""


class NonFiniteEnergy(FusepotError):
    """A potential returned NaN or infinity for a structure."""
