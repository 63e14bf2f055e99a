"""``python -m bauhinia`` is the ``bauhinia`` command."""

from .cli import main

main()
