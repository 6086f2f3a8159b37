"""Virtual cameras and photo shoots: procedural scenes as RAW files, and photographers who edit them.

``body`` and ``camera`` take one picture of a scene, ``bracket`` several exposures of it; ``style`` is how a
photographer sets the tone sliders, ``session`` a whole shoot, and ``writing`` fills folders with both
(``python -m hdr.data.shoots``). The README beside this file says what is simulated and what is not.
"""
