"""Write the parts of docs/ that are made from the code: `python -m scripts.docs`."""

from __future__ import annotations

from testing.pages import write_section

from . import felt_table, repair_examples, settings_table


def main() -> None:
    """Write each part between its marks."""
    for module in (settings_table, repair_examples, felt_table):
        for name, (page, text) in module.sections().items():
            write_section(name, text, page)


if __name__ == "__main__":
    main()
