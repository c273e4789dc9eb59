"""Writes docs/settings.md from src/antiphon/settings/definitions.py.

python scripts/settings_page.py           write
python scripts/settings_page.py --check   exit 1 when the page differs
"""

from __future__ import annotations

import sys
from pathlib import Path

from antiphon.settings.reference import settings_page

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"


def main() -> int:
    page = settings_page()
    if "--check" not in sys.argv:
        PAGE.write_text(page, encoding="utf-8")
        return 0
    if PAGE.read_text(encoding="utf-8") == page:
        return 0
    print("docs/settings.md is not what the definitions say: run python scripts/settings_page.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
