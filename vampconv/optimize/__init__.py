"""Models that others exported: raised to the ideas that they stand for, and lowered again as a conversion does."""

from vampconv.optimize.optimize import Optimized, Request, optimize

__all__ = ["Optimized", "Request", "optimize"]
