"""The one gate through which a configuration may name code."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from hdr.errors import UserError

ALLOWED = ("hdr.", "tasks.", "torch.nn.", "torch.optim.", "torchmetrics.", "albumentations.", "kornia.")


def resolve(target: str, key: str = "_target_") -> Any:
    """The class or function that ``target`` names.

    Both the name and the module in which the found object was defined must lie below one of :data:`ALLOWED`, so that
    a path through an allowed module to something that it merely imports (``hdr.io.atomic.os.system``) is refused too.

    Raises:
        UserError: ``target`` lies elsewhere, does not exist or is neither a class nor a function.
    """
    if not target.startswith(ALLOWED):
        raise UserError(f"{key}: '{target}' is not allowed; a target starts with one of {', '.join(ALLOWED)}")
    parts = target.split(".")
    for split in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:split]))
        except ModuleNotFoundError as error:
            if error.name and ".".join(parts[:split]).startswith(error.name):
                continue
            raise
        break
    else:
        raise UserError(f"{key}: there is no module '{parts[0]}' for '{target}'")
    for name in parts[split:]:
        if not hasattr(found, name):
            raise UserError(f"{key}: '{'.'.join(parts[:split])}' has no '{name}' (from '{target}')")
        found = getattr(found, name)
    if not callable(found) or not f"{getattr(found, '__module__', '')}.".startswith(ALLOWED):
        raise UserError(f"{key}: '{target}' is not a class or function defined below {', '.join(ALLOWED)}")
    return found


def build(node: Mapping[str, Any], *args: Any, **extra: Any) -> Any:
    """Make what a configuration node with a ``_target_`` describes; the only caller of ``hydra.utils.instantiate``.

    Every ``_target_`` in the node, nested ones too, passes :func:`resolve` first. ``extra`` adds or replaces arguments.
    The object receives plain lists and dictionaries, never OmegaConf containers.

    Raises:
        UserError: a target is refused, or its callable does not accept the arguments.
    """
    if "_target_" not in node:
        raise UserError(f"cannot build {dict(node)}: it has no _target_")
    _check(node, "")
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    try:
        return instantiate(dict(node), *args, _convert_="all", **extra)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        if isinstance(cause, (TypeError, ValueError)):
            raise UserError(f"{node['_target_']}: {cause}") from error
        raise


def _check(node: Any, key: str) -> None:
    if isinstance(node, Mapping):
        for name, value in node.items():
            path = f"{key}.{name}" if key else str(name)
            if name == "_target_":
                resolve(str(value), path)
            _check(value, path)
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            _check(value, f"{key}[{index}]")
