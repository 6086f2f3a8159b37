"""``python -m tasks.exposure_selection``: see the README beside this file."""

from hdr.engine.app import main
from tasks.exposure_selection.config import ExposureSelectionConfig

if __name__ == "__main__":
    main("exposure_selection", ExposureSelectionConfig)
