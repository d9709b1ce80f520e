"""Random numbers that are the same on every machine.

PCG64 is exact everywhere, but tails of normal and exponential draws and every exp() go through the machine's libm or a SIMD variant of it,
and may differ in the last bit. One flipped liquidation would then change the whole market. So what is not exact is rounded to multiples of
2**-36: sums of such numbers are exact too, in any order.
"""

import numpy as np
from numpy.typing import NDArray

GRID = 2.0**36
Floats = NDArray[np.float64]


def on_grid(x: Floats) -> Floats:
    """x rounded to multiples of 2**-36."""
    return np.rint(x * GRID) / GRID


class Draws:
    """A seeded stream: the stream depends on (seed, name) only, so that symbols do not disturb one another."""

    def __init__(self, seed: int, name: str) -> None:
        self._generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *name.encode()])))

    def normal(self, n: int) -> Floats:
        """n standard normals."""
        return on_grid(self._generator.standard_normal(n))

    def exponential(self, n: int) -> Floats:
        """n exponentials of mean 1."""
        return on_grid(self._generator.standard_exponential(n))

    def uniform(self, n: int) -> Floats:
        """n uniforms in [0, 1)."""
        return self._generator.random(n)

    def poisson(self, mean: float) -> int:
        """How many points of a unit-rate process fall in [0, mean): for small means, by summing waiting times."""
        count, at = 0, float(self._generator.random())
        limit = float(on_grid(np.exp(np.array(-mean)))) if mean < 700.0 else 0.0
        while at > limit:
            count += 1
            at *= float(self._generator.random())
        return count

    def counts(self, means: Floats) -> NDArray[np.int64]:
        """A count for each mean (all below 1, or nearly): floor(mean) plus a coin for the fraction."""
        whole = np.floor(means)
        return (whole + (self._generator.random(len(means)) < means - whole)).astype(np.int64)

    def lognormal(self, n: int, median: float, sigma: float) -> Floats:
        """n lognormals."""
        return on_grid(median * np.exp(sigma * self.normal(n)))
