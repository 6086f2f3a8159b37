"""The shared library of the lab for learned exposure and HDR. Importing it loads nothing heavy."""
