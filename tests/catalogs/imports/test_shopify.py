from __future__ import annotations

from decimal import Decimal

import pytest

from tests.catalogs.imports.imported import Imported, attributes, imported, pictures, table

CDN = "https://cdn.shopify.com/s/files/1/"
OLD = {
    "Handle": "canvas-tote",
    "Title": "Canvas Tote",
    "Body (HTML)": "<p>A roomy <b>tote</b> of heavy canvas.</p>",
    "Vendor": "Harbour &amp; Co",
    "Product Category": "Luggage & Bags > Shopping Totes",
    "Type": "Totes",
    "Published": "true",
    "Option1 Name": "Color",
    "Option1 Value": "Navy Blue",
    "Option2 Name": "Size",
    "Option2 Value": "S",
    "Variant SKU": "'00123",
    "Variant Price": "49.00",
    "Variant Barcode": "'0400638133393",
    "Image Src": f"{CDN}tote-front.jpg",
    "Image Position": "1",
    "Image Alt Text": "",
    "Variant Image": "",
    "Fabric (product.metafields.custom.fabric)": "Canvas",
    "Status": "active",
}
NEW_NAMES = {
    "Handle": "URL handle",
    "Body (HTML)": "Description",
    "Product Category": "Product category",
    "Published": "Published on online store",
    "Option1 Name": "Option1 name",
    "Option1 Value": "Option1 value",
    "Option2 Name": "Option2 name",
    "Option2 Value": "Option2 value",
    "Variant SKU": "SKU",
    "Variant Price": "Price",
    "Variant Barcode": "Barcode",
    "Image Src": "Product image URL",
    "Image Position": "Image position",
    "Image Alt Text": "Image alt text",
    "Variant Image": "Variant image URL",
}


def line(**cells: str) -> dict[str, str]:
    """A further line of the product: only what differs."""
    names = {name.replace(" ", "_").lower(): name for name in OLD}
    return {"Handle": "canvas-tote", **{names[name]: value for name, value in cells.items()}}


VARIANTS = [
    OLD,
    line(option1_value="Blue", option2_value="S", variant_sku="B-S", variant_price="51.00"),
    line(option1_value="Olive", option2_value="M", variant_price="52", variant_image=f"{CDN}c.jpg"),
    line(image_src=f"{CDN}tote-navy-blue.jpg", image_position="3"),
    line(image_src=f"{CDN}b.jpg", image_position="2", image_alt_text="The tote in blue, standing"),
    line(image_src=f"{CDN}c.jpg", image_position="4"),
]


def new(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{NEW_NAMES.get(name, name): value for name, value in row.items()} for row in rows]


@pytest.fixture(scope="module", params=["old", "2024"])
def shop(request: pytest.FixtureRequest) -> Imported:
    return imported(table(VARIANTS if request.param == "old" else new(VARIANTS)))


def test_a_product_over_many_lines(shop: Imported) -> None:
    report = shop.report
    assert (report.read, report.accepted, report.joined, report.rejected.total()) == (6, 3, 3, 0)
    assert (report.format, report.products, report.looks) == ("Shopify products", 1, 3)
    assert shop.rejects == []


def test_skus_keep_zeros_and_a_variant_without_one_is_named_by_its_options(shop: Imported) -> None:
    assert shop.ids == ["00123", "B-S", "canvas-tote-Olive-M"]
    assert {row["product_group"] for row in shop.rows} == {"canvas-tote"}


def test_texts_are_the_products(shop: Imported) -> None:
    assert {row["title"] for row in shop.rows} == {"Canvas Tote"}
    assert {row["description"] for row in shop.rows} == {"A roomy tote of heavy canvas."}
    assert {row["category"] for row in shop.rows} == {"Luggage & Bags > Shopping Totes"}
    assert shop["00123"]["gtin"] == "0400638133393"


def test_options_of_later_lines_are_named_by_the_first(shop: Imported) -> None:
    assert attributes(shop["B-S"]) == {"Color": "Blue", "Size": "S", "Fabric": "Canvas"}
    assert [(one.name, one.changes_look) for one in shop.report.options] == [("Color", True), ("Size", False)]


def test_a_picture_is_found_by_file_name_alt_text_and_column(shop: Imported) -> None:
    navy, blue, olive = shop.rows
    assert (pictures(navy)[0], navy["picture_reason"]) == (f"{CDN}tote-navy-blue.jpg", "its file name says 'Navy Blue'")
    # Not the navy blue one, whose name holds the word as well.
    assert (pictures(blue)[0], blue["picture_reason"]) == (f"{CDN}b.jpg", "its alt text says 'Blue'")
    assert (pictures(olive)[0], olive["picture_reason"]) == (f"{CDN}c.jpg", "its own picture")


def test_colours_of_variants(shop: Imported) -> None:
    assert [[one["name"] for one in row["colors"]] for row in shop.rows] == [["navy"], ["blue"], ["olive"]]


@pytest.mark.parametrize("renamed", [False, True])
@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"Status": "draft"}, {"active": False}),
        ({"Status": "archived"}, {"active": False}),
        ({"Published": "false"}, {"active": False}),
        ({"Published": "FALSE", "Status": "active"}, {"active": False}),
        ({"Status": "active"}, {"active": True}),
        ({"Status": ""}, {"active": True}),
        ({"Title": "5&quot; Mug &amp; Plate"}, {"title": '5" Mug & Plate'}),
        ({"Title": "=HYPERLINK(1)"}, {"title": "=HYPERLINK(1)"}),
        ({"Title": "Größe ß ø Чашка"}, {"title": "Größe ß ø Чашка"}),
        ({"Body (HTML)": "<script>x()</script><ul><li>One</li><li>Two</li></ul>"}, {"description": "One. Two"}),
        ({"Body (HTML)": 'Two\nlines, and "quotes"'}, {"description": 'Two lines, and "quotes"'}),
        ({"Variant Price": "1,299.00"}, {"price": Decimal("1299.0000")}),
        ({"Variant Price": "12,50"}, {"price": Decimal("12.5000")}),
        ({"Variant Price": ""}, {"price": None}),
        ({"Variant SKU": '="00123"'}, {"product_id": "00123"}),
        ({"Variant SKU": ""}, {"product_id": "canvas-tote"}),
        ({"Variant Barcode": "4,00638E+12"}, {"gtin": None}),
        ({"Variant Barcode": '="0123"'}, {"gtin": "0123"}),
        ({"Option1 Value": "Default Title", "Option1 Name": "Title", "Option2 Value": ""}, {"look": ""}),
        ({"Product Category": ""}, {"category": "Totes"}),
    ],
)
def test_a_product_of_one_line(changes: dict[str, str], wanted: dict[str, object], renamed: bool) -> None:
    rows = [{**OLD, **changes}]
    found = imported(table(new(rows) if renamed else rows))
    assert found.rejects == []
    assert {name: found.rows[0][name] for name in wanted} == wanted


def test_a_sku_that_variants_share_names_none_of_them() -> None:
    rows = [OLD, line(option1_value="Olive", option2_value="M", variant_sku="'00123", variant_price="1")]
    found = imported(table(rows))
    assert found.ids == ["canvas-tote-Navy Blue-S", "canvas-tote-Olive-M"]


def test_pictures_stand_in_the_order_of_their_positions() -> None:
    rows = [
        {**OLD, "Option1 Value": "Default Title", "Option1 Name": "Title", "Image Position": "10"},
        line(image_src=f"{CDN}second.jpg", image_position="2"),
        line(image_src=f"{CDN}first.jpg", image_position="1"),
        line(image_src=f"{CDN}none.jpg", image_position="x"),
        line(image_src=f"{CDN}first.jpg", image_position="3"),
    ]
    found = imported(table(rows))
    assert [one.rsplit("/", 1)[1] for one in pictures(found.rows[0])] == [
        "first.jpg",
        "second.jpg",
        "tote-front.jpg",
        "none.jpg",
    ]


def test_lines_of_a_product_may_lie_apart_and_its_title_in_a_later_one() -> None:
    other = {**OLD, "Handle": "mug", "Title": "Mug", "Variant SKU": "MUG", "Option1 Value": "Red"}
    rows = [line(option1_value="Olive", variant_sku="O", variant_price="1"), other, OLD]
    found = imported(table(rows))
    assert [(row["product_id"], row["title"]) for row in found.rows] == [
        ("O", "Canvas Tote"),
        ("00123", "Canvas Tote"),
        ("MUG", "Mug"),
    ]


def test_a_line_without_a_handle_meets_no_other() -> None:
    lost = {**OLD, "Handle": "", "Variant SKU": "", "Title": ""}
    found = imported(table([lost, OLD, lost]))
    assert found.report.rejected == {"no_id": 2}
    assert found.ids == ["00123"]
