"""Which inputs an output can see, along the time axis, and how windows compose."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor, lcm


class NotLocalError(Exception):
    """Outputs do not depend on a bounded, shift-invariant window of inputs; the text says why."""


@dataclass(frozen=True)
class ReceptiveField:
    """Output ``t`` reads no inputs but those from ``jump·t − left`` to ``jump·t + right``.

    All fields are in input positions. The bounds are composed as real numbers, so with transposed
    convolutions they may be wider than the exact window, by less than two input positions at each side.

    Attributes
    ----------
    jump
        Input positions from one output to the next: above 1 for strided convolutions, below 1 for
        transposed ones.
    left, right
        Reach to either side.
    lost
        An input of n positions gives at least ``(n − lost) / jump`` outputs.
    period
        An input shifted by a multiple of it has all values of the graph shifted, each by a whole
        number of its positions.
    least
        So many inputs leave at least one position of every value.

    """

    jump: Fraction = Fraction(1)
    left: Fraction = Fraction(0)
    right: Fraction = Fraction(0)
    lost: Fraction = Fraction(0)
    period: int = 1
    least: Fraction = Fraction(1)

    def convolved(self, extent: int, stride: int, begin: int, end: int) -> ReceptiveField:
        """After a window of `extent` positions at every `stride`, with zeros padded at both ends.

        Zeros alone are a window of one position; a slice is a negative number of them.
        """
        jump = self.jump * stride
        return replace(
            self,
            jump=jump,
            left=self.left + self.jump * begin,
            right=self.right + self.jump * (extent - 1 - begin),
            lost=self.lost + self.jump * (extent - 1 - begin - end),
            period=lcm(self.period, jump.numerator),
        )._checked()

    def transposed(self, extent: int, stride: int, begin: int, end: int) -> ReceptiveField:
        """After every position was spread over `extent` at every `stride`, with both ends cut.

        To interleave ``stride`` channels in time is to spread each position over as many.
        """
        jump = self.jump / stride
        return replace(
            self,
            jump=jump,
            left=self.left + jump * (extent - 1 - begin),
            right=self.right + jump * begin,
            lost=self.lost + jump * (stride + begin + end - extent),
            period=lcm(self.period, jump.numerator),
        )._checked()

    def aligned(self, multiple: int) -> ReceptiveField:
        """After zeros on the right up to a multiple of positions."""
        return replace(self, period=lcm(self.period, (self.jump * multiple).numerator))

    def joined(self, other: ReceptiveField) -> ReceptiveField:
        """Of values combined position by position, which have one length."""
        if self.jump != other.jump:
            raise NotLocalError(f"values at {self.jump} and {other.jump} positions per step are combined")
        return ReceptiveField(
            self.jump,
            max(self.left, other.left),
            max(self.right, other.right),
            min(self.lost, other.lost),
            lcm(self.period, other.period),
            max(self.least, other.least),
        )

    def _checked(self) -> ReceptiveField:
        """With enough inputs for one position, if those before the first or after the last see beyond the input.

        Only then does an output whose window lies within a chunk see none of the chunk's borders. That
        holds for the bounds as they are, not rounded to positions.
        """
        if self.left < 0 or self.right < self.lost:
            raise NotLocalError("outputs near the ends are cut off, though they see only the input")
        return replace(self, least=max(self.least, self.lost + self.jump))

    def window(self, t: int) -> tuple[int, int]:
        """First and last input that output `t` can see; beyond the input's ends there are zeros."""
        return ceil(self.jump * t - self.left), floor(self.jump * t + self.right)

    @property
    def context(self) -> int:
        """Inputs that a chunk needs beyond those it stands for."""
        return ceil(self.left) + ceil(self.right)
