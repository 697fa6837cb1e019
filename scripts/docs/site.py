"""mkdocs' hook: what makes the pages of docs/, written for GitHub, a site."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from testing.documents import slug

REPOSITORY = Path(__file__).parents[2]
_OUTSIDE = re.compile(r"(\]\()(\.\./[^)#\s]+)")


def project_urls() -> dict[str, str]:
    """Return `[project.urls]` of pyproject.toml."""
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    section = text.partition("[project.urls]\n")[2].partition("\n\n")[0]
    return dict(re.findall(r'^(\w+) = "(.*)"$', section, re.MULTILINE))


def on_config(config: Any) -> Any:
    """Set the addresses, and make anchors as GitHub does."""
    urls = project_urls()
    config.site_url, config.repo_url = urls["Documentation"], urls["Repository"]
    config.mdx_configs["toc"]["slugify"] = slug
    return config


def on_nav(nav: Any, config: Any, files: Any) -> Any:
    """Put the pages that the navigation does not name at its end, instead of hiding them."""
    named = {page.file.src_uri for page in nav.pages}
    rest = [file for file in files.documentation_pages() if file.src_uri not in named]
    nav.items += [file.page for file in rest if file.page is not None]
    return nav


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links that leave docs/ at the repository, where the file is there.

    Raises:
        FileNotFoundError: A link leads to a file that the repository does not have.
    """

    def outside(found: re.Match[str]) -> str:
        target = (REPOSITORY / "docs" / found[2]).resolve(strict=True)
        kind = "tree" if target.is_dir() else "blob"
        path = target.relative_to(REPOSITORY.resolve())
        return f"{found[1]}{project_urls()['Repository']}/{kind}/main/{path}"

    return _OUTSIDE.sub(outside, markdown)
