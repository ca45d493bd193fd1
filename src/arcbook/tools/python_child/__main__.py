"""Being a zygote: ``python_child <JSON of its facts>``."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any, Final

#: Modules that every process has at hand. Few, because a fork copies what they take.
BASE_MODULES: Final = [
    "base64",
    "collections",
    "datetime",
    "functools",
    "hashlib",
    "io",
    "itertools",
    "json",
    "math",
    "os",
    "random",
    "re",
    "string",
    "sys",
    "time",
]


def _own_module() -> Any:
    """Import the zygote's module, wherever Arcbook is; code gets no path to it."""
    sys.path.insert(0, str(Path(__file__).parents[3]))
    from arcbook.tools.python_child import zygote  # only now is its folder known

    del sys.path[0]
    return zygote


def main() -> None:
    """Be a zygote."""
    zygote = _own_module()
    facts = json.loads(sys.argv[1])
    control = socket.socket(fileno=facts["control"])
    packages = zygote.Packages(*facts["packages"]) if facts["packages"] else None
    if packages and facts["enters"]:
        packages.enter()
        packages = None
    generators = zygote.import_ahead([*facts["modules"], *BASE_MODULES])
    sys.argv = ["<playbook>"]
    try:
        zygote.Zygote(
            control,
            facts["memory_bytes"],
            place=zygote.ChildFolders(facts["workspaces"], tuple(facts["folders"])),
            is_confined=facts["is_confined"],
            generators=generators,
            packages=packages,
        ).run()
        os._exit(0)  # at once: somebody waits for it
    except OSError as error:
        sys.exit(f"no more Python code can be started: {error}")


if __name__ == "__main__":
    main()
