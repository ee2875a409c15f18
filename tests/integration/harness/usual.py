"""Which cases of a test the usual run takes, so that it stays short; tests/run --all takes them all."""
import pytest


def usual(values, is_usual):
    """The values as pytest's parameters, marked slow where is_usual says no."""
    return [value if is_usual(value) else pytest.param(*(value if isinstance(value, tuple) else (value,)),
                                                       marks=pytest.mark.slow)
            for value in values]
