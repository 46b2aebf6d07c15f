"""Translation validation: every firing of every rule, computed before and after, on the weights that it met."""

from vampconv.validation.record import RuleRecord
from vampconv.validation.validator import Validator

__all__ = ["RuleRecord", "Validator"]
