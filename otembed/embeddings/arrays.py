"""Checked sentence vectors: finite, not zero, of unit length; float32, as FAISS expects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from otembed.errors import DataError, NumericsError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

NUMBER_KINDS = "fiub"


def as_vectors(values: ArrayLike, name: str = "vectors") -> NDArray[Any]:
    """Return ``values`` as a checked (n, d) array of float32, or float64 if its type needs it.

    Raises
    ------
    DataError
        The values are not numbers or not a matrix, or the matrix is empty.
    NumericsError
        A row holds NaN or infinity.
    """
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise DataError(
            f"{name}: not a matrix of sentence vectors: {error}", "Pass rows of equal length."
        ) from error
    if array.dtype.kind not in NUMBER_KINDS or array.ndim != 2 or 0 in array.shape:
        raise DataError(
            f"{name}: shape {array.shape} of {array.dtype} is not a matrix of sentence vectors",
            "Pass real numbers of shape (sentences, dimensions), both at least 1.",
        )
    array = array.astype(np.result_type(array.dtype, np.float32), copy=False)
    _refuse(~np.isfinite(array).all(axis=1), name, "NaN or infinity")
    return array


def unit_vectors(values: ArrayLike, name: str = "vectors") -> NDArray[np.float32]:
    """Return the rows of ``values`` divided by their Euclidean norms, as contiguous float32.

    Raises
    ------
    DataError, NumericsError
        As in :func:`as_vectors`; also NumericsError if a row is zero, because it cannot be normalized.

    Examples
    --------
    >>> unit_vectors([[3.0, 4.0]]).round(4).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    array = as_vectors(values, name)
    largest = np.abs(array).max(axis=1, keepdims=True)
    _refuse(largest[:, 0] == 0, name, "only zeros")
    # Divided by the largest entry first, because squares of tiny or huge numbers underflow or overflow.
    array = array / largest
    array /= np.linalg.norm(array, axis=1, keepdims=True)
    return np.ascontiguousarray(array, dtype=np.float32)


def centered_vectors(values: ArrayLike, name: str = "vectors") -> NDArray[Any]:
    """Return ``values`` minus the mean of all rows.

    Subtracting the mean of each language removes the direction that separates the languages, which improves retrieval
    without any training [1]_.

    Raises
    ------
    DataError, NumericsError
        As in :func:`as_vectors`; also NumericsError if all rows are equal, because they all become zero.

    References
    ----------
    .. [1] J. Libovicky, R. Rosa, A. Fraser, "On the Language Neutrality of Pre-trained Multilingual
       Representations", Findings of EMNLP 2020.

    Examples
    --------
    >>> centered_vectors([[1.0, 0.0], [3.0, 2.0]]).tolist()
    [[-1.0, -1.0], [1.0, 1.0]]
    """
    array = as_vectors(values, name)
    if (array == array[0]).all():
        raise NumericsError(
            f"{name}: cannot center {len(array)} equal rows, because all become zero",
            "Pass at least two distinct sentences, or score without centering.",
        )
    # Summed in float64: the rounding error of a float32 mean would shift every row in the same way.
    centered: NDArray[Any] = array - array.mean(axis=0, dtype=np.float64).astype(array.dtype)
    return centered


def _refuse(bad: NDArray[np.bool_], name: str, what: str) -> None:
    if bad.any():
        first = int(bad.argmax())
        count = int(bad.sum())
        raise NumericsError(
            f"{name}: {what} in {count} of {len(bad)} rows, the first is row {first} (counted from 0)",
            "Check that sentence, and the model's output for it.",
        )
