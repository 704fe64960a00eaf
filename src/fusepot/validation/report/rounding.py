"""Numbers as a reader wants them: rounded to the digits that their errors leave, and never "nan"."""

from __future__ import annotations

import math

NONE = "–"  # where there is no number
DIGITS = 5  # significant, of a value without an error
MOST = 12  # significant: an error far below that is rounding
SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def is_number(value: float | None) -> bool:
    """Whether there is one, and it is finite."""
    return value is not None and math.isfinite(value)


def decimals_of(value: float, error: float) -> int:
    """Digits after the point that are worth showing; negative where even digits before it are not.

    The error keeps one significant digit, and two where it begins with 1 or 2, which rounding would change by a lot.
    Without an error (zero or NaN) the value keeps five digits.
    """
    if not is_number(error) or error <= 0:
        return DIGITS - 1 - _exponent(value)
    leading = error / 10.0 ** _exponent(error)
    return min((1 if leading < 2.95 else 0) - _exponent(error), MOST - 1 - _exponent(value))


def with_error(value: float, error: float) -> str:
    """``2.9506 ± 0.0004``; ``(5.29 ± 0.03)·10⁻⁹`` where zeros would have to be counted."""
    if not is_number(value):
        return NONE
    known = is_number(error) and error > 0
    power = _exponent(max(abs(value), error if known else 0.0))
    scale, tail = (10.0**power, _power(power)) if power < -3 or power > 5 else (1.0, "")
    value, error = value / scale, error / scale
    places = decimals_of(value, error)
    if not known:
        return _fixed(value, places, strip=True) + tail
    text = f"{_fixed(value, places)} ± {_fixed(error, places)}"
    return f"({text}){tail}" if tail else text


def plain(value: float | None, decimals: int | None = None) -> str:
    """A value without an error, such as a measured one; zeros at the end are dropped.

    Args:
        value: NaN or None where there is none.
        decimals: most digits after the point; None for five significant digits.
    """
    if value is None or not is_number(value):
        return NONE
    power = _exponent(value)
    places = DIGITS - 1 - power if decimals is None else max(decimals, 1 - power)  # never fewer than two digits
    if power < -3 or power > 5:
        return _fixed(value / 10.0**power, places + power, strip=True) + _power(power)
    return _fixed(value, places, strip=True)


def percent(deviation: float | None) -> str:
    """``+0.12 %``, with its sign."""
    text = unsigned_percent(deviation)
    return text if text[0] in f"−{NONE}" else f"+{text}"


def unsigned_percent(deviation: float | None) -> str:
    """``0.12 %``."""
    if deviation is None or not is_number(deviation):
        return NONE
    places = 2 if abs(deviation) < 9.995 else 1 if abs(deviation) < 99.95 else 0
    return f"{_fixed(deviation, places)} %"


def _exponent(value: float) -> int:
    """The power of ten of the first digit; 0 of zero."""
    return math.floor(math.log10(abs(value))) if value else 0


def _power(power: int) -> str:
    return f"·10{str(power).translate(SUPERSCRIPTS)}"


def _fixed(value: float, places: int, *, strip: bool = False) -> str:
    text = f"{round(value, places):.{max(places, 0)}f}"
    if strip and "." in text:
        text = text.rstrip("0").rstrip(".")
    if not text.strip("-0."):
        text = text.lstrip("-")  # no minus zero
    return text.replace("-", "−")
