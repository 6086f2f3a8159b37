"""The networks of ``exposure_selection``, by the names that configurations give them."""

from __future__ import annotations

from tasks.exposure_selection.legacy import BackboneSelector, HistogramSelector, SimpleSelector, StackSelector
from tasks.exposure_selection.selector import Selector, SubsetSelector

__all__ = ["BackboneSelector", "HistogramSelector", "Selector", "SimpleSelector", "StackSelector", "SubsetSelector"]
