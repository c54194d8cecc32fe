"""`packshot import`: from a shop's own export to two catalogs and a campaign.

Two passes over the products of the export, which lie on disk by then: the first counts what must be known of all of
them (options, languages, brands), the second makes the rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count
from pathlib import Path
from shlex import quote
from typing import Any
from urllib.parse import urlsplit

from catalogs.errors import CatalogError, OptionError, PackshotError
from catalogs.imports.catalog_folder import BASES, BRANDS, CAMPAIGN, PRODUCTS, Folder, leave
from catalogs.imports.exports import Code, Found, Item, Joined, Refusal
from catalogs.imports.formats import Format, mapped, recognised
from catalogs.imports.mapped import NEEDED, ColumnMap, propose, read_map
from catalogs.imports.merge import RowWriter
from catalogs.imports.proposals import campaign_text, slug, undecided, write_brands
from catalogs.imports.report import Report
from catalogs.imports.rows import RowMaker, schema, writes_comma
from catalogs.imports.sources import Source, find_source, written_as
from catalogs.imports.spool import Spool
from catalogs.imports.tables import Table, open_table
from catalogs.imports.variants import OptionCounts
from catalogs.inputs.ids import normal_form, refusal
from catalogs.inputs.text import clean_text
from catalogs.references.fetch_records import FetchRecords
from catalogs.references.pictures import BadPicture, to_rgb
from catalogs.storage.local_files import work_folder
from catalogs.storage.store import Store, read_uri
from catalogs.vocabulary.colours import ColourFound
from catalogs.vocabulary.languages import LanguageCount
from catalogs.vocabulary.photo_colours import colours_of_photo

MOST_TEXTS = 40
"""Columns in other languages."""
_SHOWN = 40
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})?")
_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True)
class ImportOptions:
    """What a person says of an export.

    Attributes:
        map_file: a column map for a table of no known format.
        brand: of rows that name none.
        currency: of prices that name none.
        language: of the texts; where a person does not say it, their words do.
        dry_run: write nothing.
    """

    map_file: str = ""
    brand: str = ""
    currency: str = ""
    language: str = ""
    dry_run: bool = False


def propose_map(uri: str) -> ColumnMap:
    """A column map for a table, for a person to edit."""
    with work_folder() as work:
        source = find_source(uri, work)
        name, path = source.files[0]
        return propose(open_table(path, name).header)


def import_catalog(uri: str, folder: str, options: ImportOptions, say: Callable[[str], None]) -> Report:
    """Import an export into a folder, made if need be.

    Args:
        say: called with lines on what is being done.

    Raises:
        OptionError: the source or the folder cannot be used.
        CatalogError: a file cannot be read, or has no format that is known.
        StorageError: a store failed.
    """
    if "://" in folder:
        raise OptionError("import", folder, "catalogs are written to a local folder", "name one, and upload it")
    if not folder.strip():
        raise OptionError("import", uri, "the folder to write to has no name", "give one")
    if options.currency and not _CURRENCY.fullmatch(options.currency):
        raise OptionError("--currency", options.currency, "is no currency", "write EUR")
    if options.language and not _LANGUAGE.fullmatch(options.language):
        raise OptionError("--language", options.language, "is no language", "write de, or pt-BR")
    with work_folder() as work:
        (work / "source").mkdir()
        source = find_source(uri, work / "source")
        into = Folder(Path(folder).absolute())
        try:
            if options.dry_run:
                into.check()
                return _Import(source, into, options, work, say).run()
            with into.held():
                into.finish()
                into.check()
                return _Import(source, into, options, work, say).run()
        except OSError as error:
            problem = f"cannot be written to ({error.strerror})"
            raise OptionError(folder, "", problem, "choose a folder you may write to, with room") from error


@dataclass
class _Import:
    source: Source
    folder: Folder
    options: ImportOptions
    work: Path
    say: Callable[[str], None]
    report: Report = field(default_factory=Report)
    texts: dict[str, None] = field(default_factory=dict)
    brand_ids: dict[str, str] = field(default_factory=dict)
    roots: set[str] = field(default_factory=set)
    has_comma: bool = False

    def run(self) -> Report:
        tables, kind = self._tables()
        self.report.source = ", ".join(table.name for table in tables)
        self.report.format = kind.name
        with closing(Spool(self.work)) as spool:
            self._spool(spool, tables, kind)
            self.say(f"{self.report.read:,} rows read")
            options = self._counted(spool, kind)
            self.report.options = list(options.choices().values())
            if self.options.dry_run:
                staged = self.work / "staged"
                (staged / ".import").mkdir(parents=True)
            else:
                staged = self.folder.staging()
            self._write_products(spool, kind, staged / BASES[PRODUCTS])
        if not self.report.accepted + self.report.inactive:
            raise CatalogError(self.report.source, "", "holds no product that can be used", self._first_problem())
        assert self.report.is_balanced, self.report
        write_brands(staged / BASES[BRANDS], self.brand_ids)
        self.report.undecided += undecided(self.report)
        roots = [written_as(root, self.folder.path) for root in sorted(self.roots)]
        text = campaign_text(self.report, self.source.name, roots, self.texts)
        if self.options.dry_run:
            self.report.written = dict.fromkeys((PRODUCTS, BRANDS, CAMPAIGN), "would write")
        else:
            leave(self.folder, staged, text, self.report, self.work)
        return self.report

    def _first_problem(self) -> str:
        one = next(iter(self.report.first.values()), None)
        return f"first: {one.line.file}: row {one.line.number}: {one.problem}" if one else "export it again"

    def _tables(self) -> tuple[list[Table], Format]:
        """The tables that are read, all of one format."""
        opened = list(self._opened())
        if not opened:
            raise OptionError("import", self.source.root, "holds no table that can be read", self.report.undecided[0])
        if self.options.map_file:
            columns = [column for table in opened for column in table.header]
            return self._mapped(opened, read_map(_read_text(self.options.map_file), self.options.map_file, columns))
        known = [(table, kind) for table in opened if (kind := recognised(table.header))]
        kinds = {kind.name: table for table, kind in reversed(known)}
        if len(kinds) > 1:
            (one, first), (other, second) = list(kinds.items())[:2]
            problem = f"holds exports of two kinds: {first.name} is {one}, {second.name} is {other}"
            raise OptionError("import", self.source.root, problem, "import them into a folder each")
        if known:
            left = [table.name for table in opened if table not in [one for one, _ in known]]
            self.report.undecided += [f"{name} is of no known format and was not read" for name in left]
            return [table for table, _ in known], known[0][1]
        return self._proposed(opened)

    def _opened(self) -> Iterator[Table]:
        """The files that are tables; beside others, one that is none is told and left."""
        for name, path in self.source.files:
            try:
                yield open_table(path, name)
            except CatalogError as error:
                if len(self.source.files) == 1:
                    raise
                self.report.undecided.append(f"{name} was not read: {error.problem}")

    def _mapped(self, opened: Sequence[Table], columns: ColumnMap) -> tuple[list[Table], Format]:
        """The tables that have all columns of a map; the others are told and left."""
        fit = []
        for table in opened:
            if missing := [column for column in columns.columns if column not in table.header]:
                self.report.undecided.append(f"{table.name} has no column {missing[0]!r} of the map and was not read")
            else:
                fit.append(table)
        if not fit:
            problem = "has columns that no table has all of"
            raise CatalogError(self.options.map_file, "", problem, "import each kind into a folder of its own")
        return fit, mapped(columns)

    def _proposed(self, opened: Sequence[Table]) -> tuple[list[Table], Format]:
        maps = [(table, propose(table.header)) for table in opened]
        table, columns = next((one for one in maps if one[1].fields.keys() >= set(NEEDED)), maps[0])
        if set(NEEDED) - set(columns.fields):
            shown = ", ".join(name[:_SHOWN] for name in table.header[:12])
            problem = f"is of no known format, and its columns ({shown}) do not tell what they are"
            path = quote(f"{self.source.root}/{table.name}")
            fix = (
                f"write a map: packshot import {path} --propose > shop.map.json, edit it, and give --map shop.map.json"
            )
            raise CatalogError(table.name, "", problem, fix)
        self.report.undecided.append(
            "the columns were told by their names: "
            + ", ".join(f"{name} from {column}" for name, column in columns.fields.items())
            + "; `--propose` writes the map to edit"
        )
        return self._mapped(opened, columns)

    def _spool(self, spool: Spool, tables: Sequence[Table], kind: Format) -> None:
        for table in tables:
            for line in table.lines():
                self.report.read += 1
                product = kind.product_of(line)
                # What has no name of its own must not meet what has none either.
                spool.add(line, product or f"\0{line.file} {line.number}")
                for other in kind.others(line):
                    spool.also(other, product)

    def _found(self, spool: Spool, kind: Format) -> Iterator[list[Found]]:
        for lines in spool.groups():
            readable = [line for line in lines if not line.fault]
            found: list[Found] = [Refusal(line, Code.UNREADABLE, line.fault) for line in lines if line.fault]
            if readable:
                found += kind.items(readable)
            yield found

    def _counted(self, spool: Spool, kind: Format) -> OptionCounts:
        options, words = OptionCounts(), LanguageCount()
        for found in self._found(spool, kind):
            for item in found:
                if isinstance(item, Item):
                    options.add(item)
                    words.add(f"{item.title}\n{item.description}")
                    self.texts |= dict.fromkeys(list(item.texts)[:MOST_TEXTS])
                    self.has_comma = self.has_comma or writes_comma(item.price)
        self.report.language = self.options.language or words.language
        self.report.is_language_told = bool(self.options.language)
        return options

    def _write_products(self, spool: Spool, kind: Format, path: Path) -> None:
        choices = {option.name: option for option in self.report.options}
        texts = list(self.texts)[:MOST_TEXTS]
        maker = RowMaker(
            choices, self._locate, self._look_at, self.report.language, self.options.currency, self.has_comma
        )
        with closing(RowWriter(path, schema(texts))) as writer:
            for found in self._found(spool, kind):
                items = [item for one in found if (item := self._usable(spool, one))]
                if not items:
                    continue
                self.report.products += 1
                looks = set()
                for row in maker.rows(items, self.brand_ids):
                    looks.add(row["look"])
                    self._count(row)
                    writer.add(row)
                self.report.looks += len(looks)

    def _usable(self, spool: Spool, found: Found) -> Item | None:
        """An item that becomes a row; whatever is found is counted once."""
        report = self.report
        if isinstance(found, Joined):
            report.joined += 1
            return None
        if isinstance(found, Refusal):
            report.refuse(found)
            return None
        if problem := _problem(found):
            report.refuse(Refusal(found.line, *problem))
            return None
        identifier = normal_form(found.product_id)
        if not spool.take(identifier):
            problem_text = f"its id {identifier!r} is another row's already; give each variant one of its own"
            report.refuse(Refusal(found.line, Code.TWICE, problem_text))
            return None
        if found.is_active:
            report.accepted += 1
        else:
            report.inactive += 1
        return self._named(found)

    def _named(self, item: Item) -> Item:
        """With the brand's name as it is written, or the one that stands for none."""
        name = clean_text(item.brand) or self.options.brand or self.source.name
        if name not in self.brand_ids:
            made = next(one for one in _numbered(slug(name)) if one not in self.brand_ids.values())
            self.brand_ids[name] = made
        self.report.brands[name] += 1
        return replace(item, brand=name)

    def _locate(self, written: str) -> str | None:
        placed = self.source.picture(written)
        if placed is None:
            return None
        if placed.startswith(("http://", "https://")):
            return placed
        if self.source.has(placed):  # another bucket that an export names is for a person to list
            self.roots.add(self.source.root)
        return written_as(placed, self.folder.path)

    def _look_at(self, uri: str) -> Sequence[ColourFound]:
        """Colours of a picture that can be read here; of those on the web, that a plan has fetched."""
        try:
            if uri.startswith(("http://", "https://")):
                data = self._fetched(uri)
            else:
                data = read_uri(uri if "://" in uri else str(self.folder.path / uri)) if self.source.has(uri) else b""
            return colours_of_photo(to_rgb(data)) if data else ()
        except (PackshotError, BadPicture):
            return ()

    def _fetched(self, url: str) -> bytes | None:
        record = self._records.latest.get(url)
        return Store.at(self.folder.output).read_or_none(record.key) if record else None

    @cached_property
    def _records(self) -> FetchRecords:
        return FetchRecords.read(Store.at(self.folder.output))

    def _count(self, row: dict[str, Any]) -> None:
        report, pictures = self.report, row["reference_images"] or []
        report.nouns += bool(row["noun"])
        source = (row["color_source"] or "none").partition(" ")[0]
        report.colours[{"word": "by a word", "photo": "by the photo"}.get(source, source)] += 1
        if not pictures:
            named = "there is no such file" in row["picture_reason"]
            report.pictures["named but missing" if named else "named nowhere"] += 1
            return
        uri = pictures[0]["uri"]
        report.pictures["on the web" if uri.startswith("http") else "as files"] += 1
        if uri.startswith("http"):
            scheme, host = urlsplit(uri)[:2]
            report.hosts[("http://" if scheme == "http" else "") + host.lower()] += 1


def _problem(item: Item) -> tuple[Code, str] | None:
    """Why an item cannot be a row."""
    if not item.product_id.strip():
        return Code.NO_ID, "has no id; give it one"
    if not clean_text(item.title):  # also of markup or control characters alone
        return Code.NO_TITLE, "has no title; give it one"
    if wrong := refusal(normal_form(item.product_id)) or refusal(normal_form(item.group or item.product_id)):
        return Code.BAD_ID, f"its id {wrong}"
    return None


def _numbered(wanted: str) -> Iterator[str]:
    yield wanted
    yield from (f"{wanted}-{place}" for place in count(2))


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError("--map", path, f"cannot be read ({error})", "name a JSON file") from None
