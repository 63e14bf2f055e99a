"""The formats a credential comes in: the name on the wire to the module with the three verbs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from . import mdoc, sdjwt
from .model import Format

FORMATS: Final[Mapping[str, Format]] = MappingProxyType({sdjwt.FORMAT: sdjwt, mdoc.FORMAT: mdoc})
