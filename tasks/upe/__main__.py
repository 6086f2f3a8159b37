"""``python -m tasks.upe``: see the README beside this file."""

from hdr.engine.app import main
from tasks.upe.config import UpeConfig

if __name__ == "__main__":
    main("upe", UpeConfig)
