"""What keeps the code easy to find one's way in; `make map` prints more of it."""

import ast
from collections import defaultdict
from pathlib import Path

_SOURCES = Path(__file__).parent.parent / "src"


def test_a_public_class_has_a_name_of_its_own() -> None:
    """Whoever searches for a class finds one, in the service and the sandbox together."""
    homes: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(_SOURCES.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(path.relative_to(_SOURCES).as_posix())
    assert len(homes) > 500
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}
