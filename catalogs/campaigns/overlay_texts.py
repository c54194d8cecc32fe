"""The texts of overlays: templates that read a product, its brand and the campaign's copy in one language."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from catalogs.campaigns.copy_matrix import COPY, Copy
from catalogs.campaigns.locale_names import found_locale
from catalogs.campaigns.templates import COPY_TEXT, OVERLAY, PromptTemplate
from catalogs.errors import CampaignError, nearest

_KEY = "text"
Row = Mapping[str, Any]


class CopyTexts:
    """The copy of a campaign, each text compiled once.

    Raises:
        CampaignError: one of them is no template.
    """

    def __init__(self, copy: Copy, source: str) -> None:
        self._source = source
        self._texts = {
            name: {
                locale: PromptTemplate({locale: text}, source, f"{COPY}.{name}", COPY_TEXT)
                for locale, text in texts.items()
            }
            for name, texts in copy.items()
        }

    def of(self, name: str, locale: str | None, where: str, channel: str) -> PromptTemplate:
        """A text in a language, or in the nearest that it is written in (de for de-AT).

        Args:
            where: the template that reads it, for messages.
            channel: whose language it is, for messages.

        Raises:
            CampaignError: there is no such text, or not in this language.
        """
        if name not in self._texts:
            fix = nearest(name, self._texts) if self._texts else f"add `{COPY}: {{{name}: {{en: ...}}}}`"
            raise CampaignError(self._source, where, f"reads copy.{name}, which `{COPY}:` does not have", fix)
        texts = self._texts[name]
        if locale is None:
            problem = f"reads copy.{name}, and channel {channel!r} has no language"
            raise CampaignError(self._source, where, problem, f"give it `{COPY}: [{', '.join(texts)}]` or `locale:`")
        found = found_locale(locale, texts)
        if found is None:
            place = f"{COPY}.{name}"
            problem = f"has no text in {locale!r}, the language of channel {channel!r}"
            raise CampaignError(self._source, place, problem, f"add one; there are {', '.join(texts) or 'none'}")
        return texts[found]

    def names(self) -> list[str]:
        return list(self._texts)


class OverlayText:
    """One text of an overlay.

    Raises:
        CampaignError: it is no template.
    """

    def __init__(self, text: str, copy: CopyTexts, source: str, where: str) -> None:
        self.where, self._copy = where, copy
        self._template = PromptTemplate({_KEY: text}, source, where, OVERLAY)
        read = sorted(column for scope, column in self._template.columns if scope == COPY)
        self._names = copy.names() if "*" in read else read

    def templates(self, locale: str | None, channel: str) -> dict[str, PromptTemplate]:
        """The copy that it reads in the language of a channel, by name; itself as "".

        Raises:
            CampaignError: there is no such text, or not in this language.
        """
        return {"": self._template} | {n: self._copy.of(n, locale, self.where, channel) for n in self._names}

    def expand(self, product: Row, brand: Row, locale: str | None, channel: str) -> str:
        """The text of one product in the language of a channel.

        Raises:
            EmptyField: the row leaves empty what the text needs.
            OverlongField: the row holds more than a text can be made of.
            CampaignError: a template fails for another reason.
        """
        templates = self.templates(locale, channel)
        copy = {name: _only(each.expand(product, brand, ())) for name, each in templates.items() if name}
        return _only(self._template.expand(product, brand, (), (), copy))


def columns_of(templates: Iterable[PromptTemplate], scope: str) -> set[str]:
    """The columns of `product` or `brand` that templates read; "*" for the whole row."""
    return {column for template in templates for of, column in template.columns if of == scope}


def _only(expanded: Mapping[str, str]) -> str:
    return next(iter(expanded.values()))
