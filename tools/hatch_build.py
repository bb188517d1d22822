"""What hatchling runs before it packs a wheel: the native kernel is compiled.

A wheel that holds it is for one platform, and for every Python 3: the library is loaded with
ctypes. Without a compiler the wheel is made all the same, and tells why it has none.
"""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

if TYPE_CHECKING:
    from tools import build_native
else:
    # By its path: hatchling runs this file with no folder of ours on the path.
    _path = Path(__file__).with_name("build_native.py")
    _spec = importlib.util.spec_from_file_location("_build_native", _path)
    build_native = importlib.util.module_from_spec(_spec)
    sys.modules[_spec.name] = build_native
    _spec.loader.exec_module(build_native)


class NativeKernelHook(BuildHookInterface[BuilderConfig]):
    """Compiles into the tree; the project's settings name the objects as part of a wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before files are gathered; `version` is "standard" or "editable"."""
        built = build_native.build_or_record_why_not()
        if built.missing:
            self.app.display_warning(f"distbragg without its native kernel: {built.missing}")
            return
        levels = ", ".join(each.level for each in built.objects)
        self.app.display_info(f"native kernel {built.build} ({levels})")
        if version == "standard":
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{platform}"
